//! The page's server on the loopback: files, and one order after the other for the page.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long the page's question for an order stays open.
const PATIENCE: Duration = Duration::from_secs(20);

/// What threads of ONNX Runtime Web need: the page is cut off from other sites.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// Where the page's files lie.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The page itself and its packages.
    pub page: PathBuf,
    /// The WebAssembly modules, as `/pkg`.
    pub modules: PathBuf,
    /// The works, as `/works`.
    pub works: PathBuf,
}

/// The running server.
pub struct Site {
    address: String,
    orders: UnboundedSender<String>,
    answers: Receiver<Bytes>,
    /// Serves until it is dropped.
    _runtime: Runtime,
}

struct Shared {
    roots: Roots,
    orders: Mutex<UnboundedReceiver<String>>,
    answers: Sender<Bytes>,
}

impl Site {
    /// Starts to serve on a free port.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start(roots: Roots) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (orders, receiver) = unbounded_channel();
        let (sender, answers) = channel();
        let shared = Arc::new(Shared {
            roots,
            orders: Mutex::new(receiver),
            answers: sender,
        });
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .context("no port is free on the loopback")?;
        let address = format!("http://{}/", listener.local_addr()?);
        let router = Router::new()
            .route("/next", post(next))
            .route("/answer", post(answer))
            .fallback(get(file))
            .with_state(shared);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            orders,
            answers,
            _runtime: runtime,
        })
    }

    /// Where the page is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gives the page an order.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn order(&self, order: &Value) -> Result<()> {
        Ok(self.orders.send(order.to_string())?)
    }

    /// The page's answer, or `None` when none came in this time.
    ///
    /// # Errors
    /// When the server is gone, or the answer is no JSON.
    pub fn answer(&self, within: Duration) -> Result<Option<Value>> {
        match self.answers.recv_timeout(within) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the page's server has ended"),
        }
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let mut orders = shared.orders.lock().await;
    match tokio::time::timeout(PATIENCE, orders.recv()).await {
        Ok(Some(order)) => (HEADERS, order).into_response(),
        _ => (StatusCode::NO_CONTENT, HEADERS).into_response(),
    }
}

async fn answer(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    match shared.answers.send(body) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::GONE,
    }
}

async fn file(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let Some(path) = shared.roots.find(uri.path()) else {
        return (StatusCode::NOT_FOUND, HEADERS).into_response();
    };
    match tokio::fs::read(&path).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind(&path))], HEADERS, bytes).into_response(),
        Err(_) => (StatusCode::NOT_FOUND, HEADERS).into_response(),
    }
}

impl Roots {
    /// The file of this path, which may lead out of no folder.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let path = path.strip_prefix('/')?;
        let (root, rest) = match path.split_once('/') {
            Some(("pkg", rest)) => (&self.modules, rest),
            Some(("works", rest)) => (&self.works, rest),
            _ if path.is_empty() => (&self.page, "index.html"),
            _ => (&self.page, path),
        };
        let rest = Path::new(rest);
        let plain = |part| matches!(part, Component::Normal(_));
        rest.components().all(plain).then(|| root.join(rest))
    }
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_their_folders_only() {
        let roots = Roots {
            page: "page".into(),
            modules: "modules".into(),
            works: "works".into(),
        };
        let found = |path| roots.find(path);
        assert_eq!(found("/"), Some("page/index.html".into()));
        assert_eq!(found("/engines/a.js"), Some("page/engines/a.js".into()));
        assert_eq!(found("/pkg/a.wasm"), Some("modules/a.wasm".into()));
        assert_eq!(found("/works/MINI/a"), Some("works/MINI/a".into()));
        assert_eq!(found("/works/../secret"), None);
        assert_eq!(found("/pkg//etc"), None);
    }
}
