//! A connection's incoming side: sizes, pace and form of what the peer sends.

use std::error::Error;
use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::Bytes;
use fl_core::codec::{self, CLIENT_TEXT_LIMIT, CodecError};
use fl_core::error::{Fault, FaultCode};
use fl_core::protocol::{ClientHeader, ClientMessage, ServerMessage};
use fl_core::room::ConnectionId;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::{Caller, End, broken};
use crate::gate::Meter;
use crate::in_flight::Share;
use crate::limits::Limits;
use crate::outbox::{Outgoing, Replies};
use crate::pace::Pace;
use crate::room_actor::Input;
use crate::rooms::RoomHandle;

/// Frames above this are decoded away from the socket's thread. Below it the way to another thread
/// takes longer than the decoding: a mebibyte is read in about a tenth of a millisecond.
const DECODED_ASIDE: usize = 1024 * 1024;

/// One connection's incoming side.
pub(super) struct Reader<'a> {
    connection: ConnectionId,
    meter: &'a Meter,
    room: &'a RoomHandle,
    limits: &'a Limits,
    replies: Replies,
    pace: Pace,
    malformed: u32,
}

impl<'a> Reader<'a> {
    /// Reads for a connection that has said hello to `room`.
    pub(super) fn new(
        caller: &'a Caller,
        room: &'a RoomHandle,
        limits: &'a Limits,
        replies: Replies,
    ) -> Self {
        caller.meter.await_frames(room.frame_limit);
        Self {
            connection: caller.connection,
            meter: &caller.meter,
            room,
            limits,
            replies,
            pace: Pace::per_second(limits.messages_per_second, Instant::now()),
            malformed: 0,
        }
    }

    /// Passes messages on until one side ends the connection.
    pub(super) async fn read<S, E>(&mut self, stream: &mut S) -> End
    where
        S: Stream<Item = Result<Message, E>> + Unpin,
        E: Error + 'static,
    {
        let mut heard = Instant::now();
        loop {
            let message = match timeout_at(heard + self.limits.silence, stream.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return broken(&error),
                Ok(None) => return End::Gone,
                Err(_) => return End::Refused(self.silence()),
            };
            let (share, whole) = match &message {
                // In the midst of a message they are no sign of its going on.
                Message::Ping(bytes) | Message::Pong(bytes) => {
                    (None, self.meter.control_ended(bytes.len()))
                }
                _ => (self.meter.frame_ended(), true),
            };
            if self.pace.take(Instant::now()).is_err() {
                let most = self.limits.messages_per_second;
                let message = format!("The client sends more than {most} messages a second.");
                return End::Refused(Fault::overloaded(message));
            }
            let taken = match message {
                Message::Text(text) => self.text(&text).await,
                Message::Binary(frame) => self.binary(frame, share).await,
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => Err(End::Gone),
            };
            if let Err(end) = taken {
                return end;
            }
            if whole {
                heard = Instant::now();
            }
        }
    }

    async fn text(&mut self, text: &Utf8Bytes) -> Result<(), End> {
        let message = match codec::decode_text(text, CLIENT_TEXT_LIMIT) {
            Ok(message) => message,
            Err(error) => return self.bad_frame(error),
        };
        self.malformed = 0;
        let leaves = matches!(message, ClientMessage::Leave);
        let connection = self.connection;
        self.pass(Input::Message {
            connection,
            message,
        })
        .await?;
        if leaves { Err(End::Gone) } else { Ok(()) }
    }

    async fn binary(&mut self, frame: Bytes, share: Option<Share>) -> Result<(), End> {
        let (bytes, limit) = (frame.len(), self.room.frame_limit);
        let share = self.meter.share(share, bytes).await;
        let kept = self.room.recorded.then(|| frame.clone());
        let body = Arc::clone(&self.room.body);
        let decode = move || codec::decode_known::<ClientHeader>(&frame, limit, &body);
        let decoded = match bytes > DECODED_ASIDE {
            true => tokio::task::spawn_blocking(decode)
                .await
                .map_err(|_| End::Refused(Fault::internal("The update could not be read.")))?,
            false => decode(),
        };
        let (ClientHeader::Report(report), adapter) = match decoded {
            Ok(update) => update,
            Err(error) => return self.bad_frame(error),
        };
        self.malformed = 0;
        self.pass(Input::Report {
            connection: self.connection,
            report: Box::new(report),
            adapter,
            bytes,
            frame: kept,
            share,
        })
        .await
    }

    /// Why a connection ends on which nothing came for too long.
    fn silence(&self) -> Fault {
        let seconds = self.limits.silence.as_secs();
        Fault::overloaded(match self.meter.is_waiting() {
            true => format!("The server had no memory for this update within {seconds} seconds."),
            false => format!("The client gave no sign of life for {seconds} seconds."),
        })
    }

    /// Waits while the room is busy: a connection is read no faster than its room takes.
    async fn pass(&self, input: Input) -> Result<(), End> {
        let sent = self.room.inbox.send(input).await;
        sent.map_err(|_| End::GoingAway)
    }

    /// Answers a frame that is no message. A peer that sends nothing else is not listened to for
    /// ever, and one that sends too large ones is not at all.
    fn bad_frame(&mut self, error: CodecError) -> Result<(), End> {
        let fault = Fault::from(error);
        self.malformed += 1;
        let patience = self.malformed < self.limits.malformed_in_a_row;
        if fault.code == FaultCode::Oversized || !patience {
            return Err(End::Refused(fault));
        }
        let text = codec::encode_text(&ServerMessage::Fault(fault));
        // A full queue: the room will drop this connection with its next message.
        let _ = self.replies.send(Outgoing::Text(text.into()));
        Ok(())
    }
}
