//! What a stub does wrong: at an order, and when it sends its report.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use fl_core::codec::encode_text;
use fl_core::protocol::{ClientMessage, Progress, Stage, WorkOrder};
use fl_core::session::Global;
use futures_util::SinkExt as _;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_websockets::Message;

use super::super::misbehaviour::Misdeed;
use super::super::{malformed, wire};
use super::{Client, Socket};

/// Messages of [`Misdeed::Flood`].
const FLOOD: u32 = 2000;
/// How long a server may take to read what is written past the WebSocket.
const WRITE: Duration = Duration::from_secs(5);

/// What a client keeps to misbehave with.
#[derive(Debug, Default)]
pub(super) struct Wrongs {
    /// The attempt at which it misbehaved last: it does so once for each.
    attempt: Option<(u32, u32)>,
    /// How its next report is spoilt.
    spoil: Option<(Misdeed, SmallRng)>,
    /// Its report of the round before.
    before: Option<Bytes>,
    /// Its report, to be sent once more on its next connection.
    again: Option<Bytes>,
    /// A connection that is left open and not read.
    left: Option<Socket>,
}

impl Client {
    /// Misbehaves on an order, if that is this client's way and it has not yet; gives back what it
    /// did.
    pub(super) fn misbehave(&mut self, order: &WorkOrder, global: &Global) -> Option<Misdeed> {
        let attempt = Some((order.round, order.attempt));
        let misdeed = self.misdeed.filter(|_| self.wrongs.attempt != attempt)?;
        self.wrongs.attempt = attempt;
        self.shared.measures().misbehaved(misdeed);
        match misdeed {
            Misdeed::Stall | Misdeed::Replay => {}
            // The work goes on meanwhile, and its report is sent when the order comes again.
            Misdeed::Drop => self.cut(self.shared.now()),
            Misdeed::Flood => self.flood(order),
            Misdeed::Malformed => {
                let frame = malformed::frame(order, global, self.shared.seed, self.number);
                self.send(frame);
            }
            Misdeed::Cut | Misdeed::Flip | Misdeed::Duplicate => {
                let rng = wire::generator(self.shared.seed, self.number, order.round);
                self.wrongs.spoil = Some((misdeed, rng));
            }
        }
        Some(misdeed)
    }

    fn flood(&mut self, order: &WorkOrder) {
        for done in 0..FLOOD {
            let progress = ClientMessage::Progress(Progress {
                round: order.round,
                stage: Stage::Training,
                done,
                total: FLOOD,
                loss: None,
            });
            self.send(Message::text(encode_text(&progress)));
        }
    }

    /// Sends a report, as this client does.
    pub(super) async fn deliver(&mut self, frame: Bytes) {
        match self.wrongs.spoil.take() {
            Some((Misdeed::Cut, mut rng)) => {
                // The session sends the report again when the client is back.
                self.write(&wire::cut(&frame, &mut rng)).await;
                if rng.random() {
                    self.wrongs.left = self.socket.take();
                }
                self.cut(self.shared.now());
            }
            Some((Misdeed::Flip, mut rng)) => {
                self.write(&wire::flipped(&frame, &mut rng)).await;
                self.send(Message::binary(frame));
            }
            Some((Misdeed::Duplicate, _)) => {
                self.write(&wire::message(&frame)).await;
                self.wrongs.again = Some(frame);
                self.wrongs.left = self.socket.take();
                self.cut(self.shared.now());
            }
            _ if self.misdeed == Some(Misdeed::Replay) => self.replay(frame),
            // Where nobody else has the frame, it is masked in place.
            _ => self.send(Message::binary(frame)),
        }
    }

    fn replay(&mut self, frame: Bytes) {
        self.shared.measures().counts().reports += 1;
        self.send(Message::binary(frame.clone()));
        self.send(Message::binary(frame.clone()));
        if let Some(before) = self.wrongs.before.replace(frame) {
            self.send(Message::binary(before));
        }
    }

    /// Reports once more, on a connection that was opened for that.
    pub(super) fn report_again(&mut self) {
        if let Some(frame) = self.wrongs.again.take() {
            self.shared.measures().counts().reports += 1;
            self.send(Message::binary(frame));
        }
    }

    /// Writes bytes behind what is queued, past the WebSocket.
    async fn write(&mut self, bytes: &[u8]) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let written = async {
            socket.flush().await.map_err(io::Error::other)?;
            let stream = socket.get_mut();
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        // A connection that is broken says so when it is read.
        let _ = timeout(WRITE, written).await;
    }
}
