//! A server that behaves as the hub does: its API, its redirects, its headers, and a second
//! server for the content of large files. It can fail as networks do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The commit that every revision named `main` means.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository that is there.
pub const NAME: &str = "owner/tiny";

/// What goes wrong with the content of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Every connection breaks after so many bytes.
    Cut(usize),
    /// Only the first one does.
    CutOnce(usize),
    /// One byte is another.
    Wrong,
    /// It does not end.
    Endless,
    /// It stops at this byte and keeps the connection.
    Silent(usize),
    /// Ranges are ignored, and the first connection breaks after so many bytes.
    WithoutRanges(usize),
    /// Status 503 the first time.
    Busy,
    /// The address leads to itself.
    Circle,
}

/// A running hub with one repository.
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    state: Arc<Inner>,
}

struct Inner {
    files: BTreeMap<String, Vec<u8>>,
    content: SocketAddr,
    trouble: Mutex<Trouble>,
    /// Method, file and range of each request for content.
    log: Mutex<Vec<String>>,
}

impl Hub {
    /// A hub whose repository has these files.
    pub fn start(files: BTreeMap<String, Vec<u8>>, trouble: Trouble) -> Self {
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        };
        let ((hub, address), (content, content_address)) = (listen(), listen());
        let state = Arc::new(Inner {
            files,
            content: content_address,
            trouble: Mutex::new(trouble),
            log: Mutex::default(),
        });
        let pages = Router::new()
            .route("/api/models/{owner}/{name}/revision/{revision}", get(list))
            .route("/{owner}/{name}/resolve/{revision}/{file}", get(resolve))
            .route("/api/resolve-cache/{file}", get(small))
            .with_state(Arc::clone(&state));
        let contents = Router::new()
            .route("/content/{file}", get(large))
            .with_state(Arc::clone(&state));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = |std| tokio::net::TcpListener::from_std(std).unwrap();
                let hub = axum::serve(listener(hub), pages).into_future();
                let content = axum::serve(listener(content), contents).into_future();
                futures_util::future::join(hub, content).await
            })
        });
        Self {
            endpoint: format!("http://{address}"),
            state,
        }
    }

    /// Changes what goes wrong.
    pub fn set(&self, trouble: Trouble) {
        *self.state.trouble.lock().unwrap() = trouble;
    }

    /// The requests for content since the last call: method, file, range.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }
}

fn refused(status: StatusCode, code: &'static str) -> Response {
    let headers = [("x-error-code", code), ("x-error-message", "Refused.")];
    (status, headers, "{\"error\":\"Refused.\"}").into_response()
}

async fn list(
    State(state): State<Arc<Inner>>,
    Path((owner, name, revision)): Path<(String, String, String)>,
) -> Response {
    match (&*format!("{owner}/{name}"), &*revision) {
        // Gated repositories are listed for everybody.
        (NAME | "owner/gated", "main" | "refs/pr/1" | COMMIT) => {
            let sibling = |name: &String| serde_json::json!({"rfilename": name});
            let siblings: Vec<_> = state.files.keys().map(sibling).collect();
            let info = serde_json::json!({"id": name, "sha": COMMIT, "siblings": siblings});
            axum::Json(info).into_response()
        }
        (NAME, _) => refused(StatusCode::NOT_FOUND, "RevisionNotFound"),
        _ => refused(StatusCode::UNAUTHORIZED, "RepoNotFound"),
    }
}

async fn resolve(
    State(state): State<Arc<Inner>>,
    Path((owner, name, revision, file)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    if format!("{owner}/{name}") == "owner/gated" {
        let token = headers.get(header::AUTHORIZATION);
        if token.is_none_or(|token| token != "Bearer hf_right") {
            return refused(StatusCode::UNAUTHORIZED, "GatedRepo");
        }
    }
    let Some(content) = state.files.get(&file).filter(|_| revision == COMMIT) else {
        return refused(StatusCode::NOT_FOUND, "EntryNotFound");
    };
    if !file.ends_with(".safetensors") {
        let location = format!("/api/resolve-cache/{file}?etag=1");
        return (
            StatusCode::TEMPORARY_REDIRECT,
            [("x-repo-commit", COMMIT.into()), ("location", location)],
        )
            .into_response();
    }
    let location = match *state.trouble.lock().unwrap() {
        Trouble::Circle => format!("/{owner}/{name}/resolve/{revision}/{file}"),
        _ => format!("http://{}/content/{file}?signature=x", state.content),
    };
    let hash: String = hexadecimal(&Sha256::digest(content));
    let headers = [
        ("x-repo-commit", COMMIT.to_owned()),
        ("x-linked-etag", format!("\"{hash}\"")),
        ("x-linked-size", content.len().to_string()),
        ("etag", "\"of-the-redirect\"".into()),
        ("location", location),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// A small file, named by git's hash of it.
async fn small(
    State(state): State<Arc<Inner>>,
    Path(file): Path<String>,
    method: Method,
) -> Response {
    state.log.lock().unwrap().push(format!("{method} {file} -"));
    let content = &state.files[&file];
    let blob = format!("blob {}\0", content.len());
    let hash = hexadecimal(&Sha1::new_with_prefix(blob).chain_update(content).finalize());
    let headers = [
        ("x-repo-commit", COMMIT.to_owned()),
        ("etag", format!("\"{hash}\"")),
    ];
    (headers, content.clone()).into_response()
}

/// The content of a large file, at another address than the hub's.
async fn large(
    State(state): State<Arc<Inner>>,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let range = headers.get(header::RANGE);
    let range = range.map(|range| range.to_str().unwrap().to_owned());
    let asked = range.as_deref().unwrap_or("-");
    state
        .log
        .lock()
        .unwrap()
        .push(format!("{method} {file} {asked}"));
    // A signed address is good for one method, and the hub's token is nobody else's business.
    if method != Method::GET || headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let trouble = {
        let mut trouble = state.trouble.lock().unwrap();
        let now = *trouble;
        if matches!(now, Trouble::CutOnce(_) | Trouble::Busy) {
            *trouble = Trouble::None;
        }
        now
    };
    let mut content = state.files[&file].clone();
    if trouble == Trouble::Busy {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if trouble == Trouble::Wrong {
        content[1000] ^= 1;
    }
    if trouble == Trouble::Endless {
        let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7; 4096]));
        return Body::from_stream(pieces).into_response();
    }
    let ignored = matches!(trouble, Trouble::WithoutRanges(_));
    let from = range.filter(|_| !ignored).map(|range| {
        let from = range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'));
        from.unwrap().parse::<usize>().unwrap()
    });
    let total = content.len();
    let rest = content.split_off(from.unwrap_or(0));
    let length = rest.len();
    let body = match trouble {
        Trouble::Cut(after) | Trouble::CutOnce(after) => cut(&rest, after),
        Trouble::WithoutRanges(after) => {
            *state.trouble.lock().unwrap() = Trouble::WithoutRanges(usize::MAX);
            cut(&rest, after)
        }
        Trouble::Silent(at) => silent(&rest, at.saturating_sub(from.unwrap_or(0))),
        _ => Body::from(rest),
    };
    let length = (header::CONTENT_LENGTH, length.to_string());
    match from {
        Some(from) => {
            let range = format!("bytes {from}-{}/{total}", total - 1);
            let headers = [length, (header::CONTENT_RANGE, range)];
            (StatusCode::PARTIAL_CONTENT, headers, body).into_response()
        }
        None => ([length], body).into_response(),
    }
}

/// Breaks the connection behind the first bytes.
fn cut(content: &[u8], after: usize) -> Body {
    if after >= content.len() {
        return Body::from(content.to_vec());
    }
    let first = content[..after].to_vec();
    let pieces = stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok(first), None)),
            None => {
                // What was sent gets through before the end does.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(std::io::Error::other("cut")), None))
            }
        }
    });
    Body::from_stream(pieces)
}

fn silent(content: &[u8], after: usize) -> Body {
    let first = content[..after.min(content.len())].to_vec();
    let pieces = stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok::<_, std::io::Error>(first), None)),
            None => std::future::pending().await,
        }
    });
    Body::from_stream(pieces)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
