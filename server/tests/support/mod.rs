//! What the tests share: a server on a free port, an HTTP client, a federated client.

mod client;
mod http;
mod nats;
mod nats_server;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use fl_core::settings::{Quorum, RoomSettings, Texts};
use learner::testing::{Files, Shape};
use server::{Limits, ServerConfig, ServerError, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use client::{Client, Event, report, update};
pub use http::Answer;
pub use nats::{Process, be_a_process};
pub use nats_server::TestNats;

/// A running server with a tiny model, and its data folder.
pub struct TestServer {
    pub address: SocketAddr,
    pub folder: TempDir,
    /// How it is started the next time.
    pub config: ServerConfig,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServerError>>,
}

/// The same limits as always, with fewer seconds to wait for.
pub fn limits() -> Limits {
    Limits::default()
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(limits()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        Self::start_as(|config| config.limits = limits).await
    }

    /// A server with a configuration of its own.
    pub async fn start_as(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_model(&folder.path().join("tiny"));
        let mut config = config(folder.path(), limits());
        change(&mut config);
        Self::start_in(folder, config).await
    }

    async fn start_in(folder: TempDir, config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, shutdown, config.clone()));
        Self {
            address,
            folder,
            config,
            stop: Some(stop),
            task,
        }
    }

    /// Ends the server in order.
    pub async fn end(mut self) -> TempDir {
        self.ask_to_end();
        self.ended().await
    }

    /// Begins the server's end.
    pub fn ask_to_end(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end that was asked for.
    pub async fn ended(self) -> TempDir {
        self.task.await.unwrap().unwrap();
        self.folder
    }

    /// Ends the server in order and starts it again with the same data; `between` may spoil it.
    pub async fn restart(self, between: impl FnOnce(&Path)) -> Self {
        let config = self.config.clone();
        let folder = self.end().await;
        between(&folder.path().join("data"));
        Self::start_in(folder, config).await
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub async fn get(&self, path: &str) -> Answer {
        http::request(self.address, "GET", path, &[], "").await
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        http::request(self.address, method, path, headers, body).await
    }

    /// Opens a room; its code and its owner's token.
    pub async fn open_room(&self, settings: &RoomSettings) -> (String, String) {
        open_room(self.address, settings).await
    }

    /// A client in a room, welcomed and with the global adapter.
    pub async fn join(&self, room: &str, name: &str) -> Client {
        Client::join(self.address, room, name, None).await
    }
}

/// Opens a room; its code and its owner's token.
pub async fn open_room(address: SocketAddr, settings: &RoomSettings) -> (String, String) {
    let body = serde_json::to_string(settings).unwrap();
    let json = [("content-type", "application/json")];
    let answer = http::request(address, "POST", "/api/rooms", &json, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let created = answer.json();
    let text = |field: &str| created[field].as_str().unwrap().to_owned();
    (text("code"), text("owner_token"))
}

/// The configuration of a server whose folder holds the tiny model.
pub fn config(folder: &Path, limits: Limits) -> ServerConfig {
    ServerConfig {
        data_dir: folder.join("data"),
        models: vec![folder.join("tiny")],
        limits,
        ..ServerConfig::default()
    }
}

/// Writes a model of two narrow layers.
pub fn write_tiny_model(folder: &Path) {
    let files = Files::new(Shape::TINY, 7);
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("config.json"), files.config).unwrap();
    fs::write(folder.join("tokenizer.json"), files.tokenizer).unwrap();
    fs::write(folder.join("model.safetensors"), files.weights).unwrap();
}

/// A room of the tiny model for `clients` clients that bring their own texts.
pub fn settings(clients: u32) -> RoomSettings {
    let mut settings = RoomSettings {
        title: "Test".into(),
        model: "tiny".into(),
        texts: Texts::Own,
        lora: learner::testing::lora(),
        ..RoomSettings::default()
    };
    settings.round.quorum = Quorum::Count(clients);
    settings.round.minimum = 1;
    settings.round.rounds = 100;
    settings
}
