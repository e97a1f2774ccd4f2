//! TLS over real sockets: handshakes that a client checks, pages, WebSockets, and the end in order.

use std::sync::Arc;

use fl_core::codec::{SERVER_TEXT_LIMIT, decode_text, encode_text};
use fl_core::protocol::{ClientMessage, PROTOCOL_VERSION, ServerMessage};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, settings};

async fn secure() -> TestServer {
    TestServer::start_as(|config| {
        let names = ["localhost".to_owned()];
        config.tls = Some(Identity::self_signed(&config.data_dir, &names).unwrap());
    })
    .await
}

/// A connection to the server under a name, checked as a browser would that was given the
/// server's certificate as an authority's.
async fn connect(server: &TestServer, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(server.data().join("self-signed.pem"));
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

async fn request(server: &TestServer, text: &str) -> String {
    let mut stream = connect(server, "localhost").await.unwrap();
    let text = text.replace('\n', "\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\nhost: localhost\nconnection: close\n\n";

async fn open_room(server: &TestServer) -> String {
    let body = serde_json::to_string(&settings(1)).unwrap();
    let head = "POST /api/rooms HTTP/1.1\nhost: localhost\nconnection: close\n\
                content-type: application/json\n";
    let length = body.len();
    let answer = request(server, &format!("{head}content-length: {length}\n\n{body}")).await;
    let json = &answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()];
    let created: serde_json::Value = json.parse().unwrap();
    created["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn pages_and_sockets_come_over_tls_and_end_in_order() {
    let server = secure().await;
    let answer = request(&server, HEALTH).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
    let room = open_room(&server).await;
    let stream = connect(&server, "localhost").await.unwrap();
    let (mut socket, _) = client_async("wss://localhost/ws", stream).await.unwrap();
    let hello = encode_text(&ClientMessage::Hello {
        protocol: PROTOCOL_VERSION,
        room,
        name: "Ada".into(),
        resume: None,
    });
    socket.send(Message::text(hello)).await.unwrap();
    let Some(Ok(Message::Text(text))) = socket.next().await else {
        panic!("no welcome");
    };
    let welcome = decode_text(&text, SERVER_TEXT_LIMIT).unwrap();
    assert!(matches!(welcome, ServerMessage::Welcome(_)), "{welcome:?}");
    let reading = tokio::spawn(async move {
        let frames: Vec<_> = socket.collect().await;
        frames
            .into_iter()
            .any(|frame| matches!(frame, Ok(Message::Close(_))))
    });
    server.end().await;
    assert!(reading.await.unwrap(), "no farewell");
}

#[tokio::test]
async fn certificate_is_good_for_its_names_only() {
    let server = secure().await;
    let error = connect(&server, "other.example").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn peers_without_tls_hold_nobody_up() {
    let server = secure().await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(request(&server, HEALTH).await.starts_with("HTTP/1.1 200"));
}
