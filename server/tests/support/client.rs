//! A federated client that does no learning: it answers work orders with updates of our choice.

use std::net::SocketAddr;
use std::time::Duration;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::codec::{SERVER_TEXT_LIMIT, decode_binary, decode_text, encode_binary, encode_text};
use fl_core::error::Fault;
use fl_core::protocol::{
    ClientHeader, ClientMessage, PROTOCOL_VERSION, Receipt, Report, RoundRecord, ServerHeader,
    ServerMessage, Welcome, WorkOrder,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection and what it was last given.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub welcome: Option<Welcome>,
    pub round: u32,
    pub global: Adapter,
    pub hash: Option<AdapterHash>,
    /// Every message so far.
    pub heard: Vec<ServerMessage>,
}

/// What came in.
#[derive(Debug)]
pub enum Event {
    Message(ServerMessage),
    Global,
    Closed,
}

impl Client {
    /// A connection that has said nothing yet.
    pub async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
        Self::over(socket)
    }

    fn over(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self {
            socket,
            welcome: None,
            round: 0,
            global: Adapter::default(),
            hash: None,
            heard: Vec::new(),
        }
    }

    /// A connection that a proxy would say comes from `forwarded`, where it is opened.
    pub async fn connect_from(address: SocketAddr, forwarded: &str) -> Option<Self> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        let forwarded = forwarded.parse().unwrap();
        request.headers_mut().insert("x-forwarded-for", forwarded);
        let (socket, _) = connect_async(request).await.ok()?;
        Some(Self::over(socket))
    }

    /// A client that was welcomed and got the global adapter.
    pub async fn join(address: SocketAddr, room: &str, name: &str, resume: Option<&str>) -> Self {
        let mut client = Self::connect(address).await;
        client.hello(PROTOCOL_VERSION, room, name, resume).await;
        let is_welcome = |message: &ServerMessage| matches!(message, ServerMessage::Welcome(_));
        match client.until(is_welcome).await {
            ServerMessage::Welcome(welcome) => client.welcome = Some(*welcome),
            other => panic!("{other:?}"),
        }
        while client.hash.is_none() {
            client.next().await;
        }
        client
    }

    /// As [`Self::join`], when the server may not be able to let anybody in just now.
    pub async fn try_join(
        address: SocketAddr,
        room: &str,
        name: &str,
        resume: Option<&str>,
    ) -> Option<Self> {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await.ok()?;
        let mut client = Self::over(socket);
        client.hello(PROTOCOL_VERSION, room, name, resume).await;
        while client.hash.is_none() {
            match client.next().await {
                Event::Message(ServerMessage::Welcome(welcome)) => client.welcome = Some(*welcome),
                Event::Closed => return None,
                Event::Message(_) | Event::Global => {}
            }
        }
        Some(client)
    }

    pub async fn hello(&mut self, protocol: u32, room: &str, name: &str, resume: Option<&str>) {
        self.say(&ClientMessage::Hello {
            protocol,
            room: room.into(),
            name: name.into(),
            resume: resume.map(Into::into),
        })
        .await;
    }

    /// Takes this client into rounds, with up to 10 gold and 10 unlabelled texts.
    pub async fn ready(&mut self) {
        let (gold, unlabelled) = (10, 10);
        self.say(&ClientMessage::Ready { gold, unlabelled }).await;
    }

    pub async fn say(&mut self, message: &ClientMessage) {
        self.text(&encode_text(message)).await;
    }

    pub async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The first part of a binary message, whose rest never comes.
    pub async fn half_a_frame(&mut self, bytes: Vec<u8>) {
        let part = Frame::message(bytes, OpCode::Data(Data::Binary), false);
        self.socket.send(Message::Frame(part)).await.unwrap();
    }

    pub async fn ping(&mut self) {
        self.socket
            .send(Message::Ping(Default::default()))
            .await
            .unwrap();
    }

    /// As [`Self::bytes`], when the server may close meanwhile.
    pub async fn try_bytes(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::binary(bytes)).await;
    }

    pub async fn next(&mut self) -> Event {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await;
            match frame.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => {
                    let message: ServerMessage = decode_text(&text, SERVER_TEXT_LIMIT).unwrap();
                    self.heard.push(message.clone());
                    return Event::Message(message);
                }
                Some(Ok(Message::Binary(frame))) => {
                    let (header, adapter) = decode_binary(&frame, usize::MAX).unwrap();
                    let ServerHeader::Global { round, hash } = header;
                    assert_eq!(adapter.hash(), hash);
                    (self.round, self.global, self.hash) = (round, adapter, Some(hash));
                    return Event::Global;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Event::Closed,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message of a kind.
    pub async fn until(&mut self, wanted: impl Fn(&ServerMessage) -> bool) -> ServerMessage {
        loop {
            match self.next().await {
                Event::Message(message) if wanted(&message) => return message,
                Event::Closed => panic!("closed while waiting"),
                Event::Message(_) | Event::Global => {}
            }
        }
    }

    pub async fn work(&mut self) -> WorkOrder {
        match self.until(|m| matches!(m, ServerMessage::Work(_))).await {
            ServerMessage::Work(order) => order,
            other => panic!("{other:?}"),
        }
    }

    /// Says ready once more: a client at work is told its order again.
    pub async fn work_again(&mut self) -> WorkOrder {
        self.ready().await;
        self.work().await
    }

    pub async fn receipt(&mut self) -> Receipt {
        match self.until(|m| matches!(m, ServerMessage::Receipt(_))).await {
            ServerMessage::Receipt(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }

    pub async fn fault(&mut self) -> Fault {
        match self.until(|m| matches!(m, ServerMessage::Fault(_))).await {
            ServerMessage::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    /// Why the server ends the connection, which then is closed.
    pub async fn refusal(&mut self) -> Fault {
        let refused = self.until(|m| matches!(m, ServerMessage::Refused(_))).await;
        let ServerMessage::Refused(fault) = refused else {
            panic!("{refused:?}");
        };
        assert!(matches!(self.next().await, Event::Closed));
        fault
    }

    /// The record of the next round's end, with the new global adapter taken in.
    pub async fn round_end(&mut self) -> RoundRecord {
        let ended = self
            .until(|m| matches!(m, ServerMessage::RoundEnded(_)))
            .await;
        let ServerMessage::RoundEnded(record) = ended else {
            panic!("{ended:?}");
        };
        while self.round < record.round {
            self.next().await;
        }
        record
    }

    /// The global adapter with every value moved by `step`.
    pub fn moved(&self, step: f32) -> Adapter {
        let mut adapter = self.global.clone();
        for matrix in adapter.matrices.values_mut() {
            matrix.values.iter_mut().for_each(|value| *value += step);
        }
        adapter
    }

    pub async fn report(&mut self, order: &WorkOrder, adapter: &Adapter) {
        self.bytes(update(&report(order), adapter)).await;
    }

    /// Works on one round as it should.
    pub async fn do_round(&mut self, step: f32) {
        let order = self.work().await;
        assert_eq!(Some(order.base), self.hash);
        let adapter = self.moved(step);
        self.report(&order, &adapter).await;
        let receipt = self.receipt().await;
        assert_eq!((receipt.round, receipt.fault), (order.round, None));
    }
}

/// A good report on an order.
pub fn report(order: &WorkOrder) -> Report {
    Report {
        round: order.round,
        attempt: order.attempt,
        base: order.base,
        gold: 4,
        soft: 4,
        steps: 2,
        loss_first: 1.0,
        loss_last: 0.5,
        confidence: 0.9,
        work_ms: 10,
    }
}

/// The frame of an update.
pub fn update(report: &Report, adapter: &Adapter) -> Vec<u8> {
    encode_binary(&ClientHeader::Report(report.clone()), adapter)
}
