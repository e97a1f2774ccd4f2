//! The socket's handler without a network.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use fl_core::error::FaultCode;
use fl_core::protocol::PROTOCOL_VERSION;
use fl_core::settings::{RoomSettings, Texts};
use learner::testing::{Files, Shape, lora};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tokio_util::task::TaskTracker;

use super::*;
use crate::in_flight::Budget;
use crate::learning::Library;
use crate::rooms::Home;
use crate::store::Store;

/// A peer in memory: what it sends, and what it has read.
struct Wire {
    incoming: mpsc::UnboundedReceiver<Message>,
    outgoing: PollSender<Message>,
}

struct Peer {
    say: mpsc::UnboundedSender<Message>,
    hear: mpsc::Receiver<Message>,
}

fn wire(buffer: usize) -> (Wire, Peer) {
    let (say, incoming) = mpsc::unbounded_channel();
    let (outgoing, hear) = mpsc::channel(buffer);
    let outgoing = PollSender::new(outgoing);
    (Wire { incoming, outgoing }, Peer { say, hear })
}

impl Stream for Wire {
    type Item = Result<Message, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(context).map(|next| next.map(Ok))
    }
}

impl Sink<Message> for Wire {
    type Error = ();

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.outgoing.poll_ready_unpin(context).map_err(drop)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ()> {
        self.outgoing.start_send_unpin(message).map_err(drop)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.outgoing.poll_flush_unpin(context).map_err(drop)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.outgoing.poll_close_unpin(context).map_err(drop)
    }
}

impl Peer {
    fn say(&self, message: &ClientMessage) {
        let text = codec::encode_text(message);
        self.say.send(Message::Text(text.into())).unwrap();
    }

    fn hello(&self, room: &str) {
        self.say(&ClientMessage::Hello {
            protocol: PROTOCOL_VERSION,
            room: room.into(),
            name: "Peer".into(),
            resume: None,
        });
    }

    async fn hear(&mut self) -> Option<ServerMessage> {
        loop {
            let next = timeout(Duration::from_secs(10), self.hear.recv()).await;
            match next.expect("a message in time")? {
                Message::Text(text) => {
                    return Some(codec::decode_text(&text, usize::MAX).unwrap());
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn hear_refusal(&mut self) -> FaultCode {
        loop {
            match self.hear().await.expect("a refusal before the end") {
                ServerMessage::Refused(fault) => return fault.code,
                _ => continue,
            }
        }
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    rooms: Arc<Rooms>,
    room: String,
    limits: Limits,
    stop: CancellationToken,
}

async fn fixture(limits: Limits) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(Shape::TINY, 1);
    let model = folder.path().join("tiny");
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("config.json"), files.config).unwrap();
    std::fs::write(model.join("tokenizer.json"), files.tokenizer).unwrap();
    std::fs::write(model.join("model.safetensors"), files.weights).unwrap();
    let (store, _thread) = Store::open(&folder.path().join("data"))
        .and_then(|store| store.start())
        .unwrap();
    let stop = CancellationToken::new();
    let rooms = Rooms::new(
        Arc::new(Library::open(&[model]).unwrap()),
        Home::Disk(store),
        false,
        limits.clone(),
        Metrics::new(),
        stop.clone(),
        TaskTracker::new(),
    );
    let settings = RoomSettings {
        model: "tiny".into(),
        texts: Texts::Own,
        lora: lora(),
        ..RoomSettings::default()
    };
    let room = rooms.create(settings).await.unwrap().code;
    Fixture {
        _folder: folder,
        rooms: Arc::new(rooms),
        room,
        limits,
        stop,
    }
}

impl Fixture {
    fn connect(&self, id: u64, buffer: usize) -> Peer {
        let (wire, peer) = wire(buffer);
        tokio::spawn(serve(
            wire,
            Caller {
                connection: ConnectionId(id),
                who: Who::from(IpAddr::from([192, 0, 2, 1])),
                meter: Arc::new(Meter::new(Budget::new(1))),
                metrics: Metrics::new(),
            },
            Arc::clone(&self.rooms),
            self.limits.clone(),
            self.stop.clone(),
        ));
        peer
    }
}

#[tokio::test]
async fn slow_reader_is_dropped_and_others_are_not() {
    let limits = Limits {
        send_queue: 8,
        view_interval: Duration::from_millis(1),
        messages_per_second: 1_000_000,
        ..Limits::default()
    };
    let fixture = fixture(limits).await;
    let mut quick = fixture.connect(1, 1000);
    let mut slow = fixture.connect(2, 1);
    quick.hello(&fixture.room);
    slow.hello(&fixture.room);
    let connected = |view: &fl_core::protocol::RoomView| view.connected;
    let (mut both, mut rest) = (false, false);
    while !rest {
        // Each makes the room send a view, which the slow peer does not read.
        quick.say(&ClientMessage::Ready {
            gold: 1,
            unlabelled: 1,
        });
        if let Some(ServerMessage::Room(view)) = quick.hear().await {
            both |= connected(&view) == 2;
            rest = both && connected(&view) == 1;
        }
    }
    // Behind what was under way when it was cut, it hears why.
    assert_eq!(slow.hear_refusal().await, FaultCode::Overloaded);
}

#[tokio::test]
async fn peer_that_vanishes_leaves_the_room() {
    let fixture = fixture(Limits::default()).await;
    let mut stays = fixture.connect(1, 1000);
    stays.hello(&fixture.room);
    let goes = fixture.connect(2, 1000);
    goes.hello(&fixture.room);
    let mut seen = Vec::new();
    let mut goes = Some(goes);
    while seen.last() != Some(&1) || !seen.contains(&2) {
        if let Some(ServerMessage::Room(view)) = stays.hear().await {
            seen.push(view.connected);
            if view.connected == 2 {
                goes.take();
            }
        }
    }
}

#[tokio::test]
async fn end_of_the_server_ends_connections_in_any_state() {
    let fixture = fixture(Limits::default()).await;
    let mut silent = fixture.connect(1, 10);
    let mut joined = fixture.connect(2, 10);
    joined.hello(&fixture.room);
    while !matches!(joined.hear().await, Some(ServerMessage::Room(_))) {}
    fixture.stop.cancel();
    assert_eq!(silent.hear().await, None);
    while joined.hear().await.is_some() {}
}

/// Keeps how many messages went with each flush.
#[derive(Default)]
struct Flushes {
    fed: usize,
    flushed: Vec<usize>,
}

impl Sink<Message> for Flushes {
    type Error = ();

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, _: Message) -> Result<(), ()> {
        self.fed += 1;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let fed = std::mem::take(&mut self.fed);
        self.flushed.push(fed);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_flush(context)
    }
}

#[tokio::test]
async fn what_waits_together_is_sent_together() {
    let fixture = fixture(Limits::default()).await;
    let who = Who::from(IpAddr::from([192, 0, 2, 1]));
    let room = fixture.rooms.find(who, &fixture.room).await.unwrap();
    let (outbox, mut outgoings) = outbox(8, &Metrics::new().send_queues);
    for _ in 0..3 {
        outbox.send(Outgoing::Text("{}".into())).unwrap();
    }
    outbox.refuse(Fault::malformed("Enough."));
    let mut sink = Flushes::default();
    let end = write(&mut sink, &mut outgoings.queue, &room, &fixture.limits).await;
    assert!(matches!(end, End::Refused(_)));
    assert_eq!(sink.flushed, [3]);
}
