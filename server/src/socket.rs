//! One WebSocket: hello, then frames both ways until one side ends it.
//!
//! Generic over the socket, so that it is tested without a network. Nothing here decides anything
//! about rounds: it checks sizes, pace and form, and passes messages between peer and room.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};
use bytes::Bytes;
use fl_core::codec::{self, CLIENT_TEXT_LIMIT, CodecError};
use fl_core::error::{Fault, FaultCode};
use fl_core::protocol::{ClientHeader, ClientMessage, ServerMessage};
use fl_core::room::{ConnectionId, Hello};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::outbox::{Outgoing, Outgoings, outbox};
use crate::pace::Pace;
use crate::room_actor::Input;
use crate::rooms::{RoomHandle, Rooms};

/// Frames above this are decoded away from the socket's thread.
const DECODED_ASIDE: usize = 64 * 1024;
/// How long the end of a connection waits for the peer to take the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer is gone or has left.
    Gone,
    /// The server goes away.
    GoingAway,
    /// The peer is told this first.
    Refused(Fault),
}

/// Serves one connection to its end.
pub(crate) async fn serve<S, E>(
    socket: S,
    connection: ConnectionId,
    rooms: Arc<Rooms>,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Send,
    E: Error + 'static,
{
    let (mut sink, mut stream) = socket.split();
    let end = tokio::select! {
        () = stop.cancelled() => End::GoingAway,
        end = converse(&mut sink, &mut stream, connection, &rooms, &limits) => end,
    };
    let _ = timeout(FAREWELL, farewell(&mut sink, end)).await;
    // The peer's answer to the close; without it, unread bytes would make the system reset the
    // connection before the peer has read why.
    let _ = timeout(FAREWELL, async {
        while let Some(Ok(_)) = stream.next().await {}
    })
    .await;
}

async fn converse<K, S, E>(
    sink: &mut K,
    stream: &mut S,
    connection: ConnectionId,
    rooms: &Rooms,
    limits: &Limits,
) -> End
where
    K: Sink<Message> + Unpin,
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Error + 'static,
{
    let hello = match timeout(limits.handshake, first_message(stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(end)) => return end,
        Err(_) => {
            let seconds = limits.handshake.as_secs();
            let message = format!("No hello came within {seconds} seconds.");
            return End::Refused(Fault::malformed(message));
        }
    };
    let ClientMessage::Hello {
        protocol,
        room,
        name,
        resume,
    } = hello
    else {
        let message = "The first message has to be a hello.";
        return End::Refused(Fault::malformed(message));
    };
    let room = match rooms.find(&room) {
        Ok(room) => room,
        Err(fault) => return End::Refused(fault),
    };
    let (outbox, outgoings) = outbox(limits.send_queue);
    let replies = outbox.replies();
    let join = Input::Join {
        connection,
        hello: Hello {
            protocol,
            name,
            resume,
        },
        outbox,
    };
    if room.inbox.send(join).await.is_err() {
        return End::GoingAway;
    }
    let Outgoings { mut queue, cut } = outgoings;
    let mut reader = Reader {
        connection,
        room: &room,
        limits,
        replies,
        pace: Pace::new(limits.messages_per_second, Instant::now()),
        malformed: 0,
    };
    let end = tokio::select! {
        fault = cut => fault.map_or(End::GoingAway, End::Refused),
        end = write(sink, &mut queue, limits) => end,
        end = reader.read(stream) => end,
    };
    // The room ends at the server's end, and then needs not know.
    let _ = room.inbox.send(Input::Gone { connection }).await;
    end
}

async fn first_message<S, E>(stream: &mut S) -> Result<ClientMessage, End>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Error + 'static,
{
    loop {
        let text = match stream.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_))) => {
                let message = "The first message has to be a hello.";
                return Err(End::Refused(Fault::malformed(message)));
            }
            Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
            Some(Err(error)) => return Err(broken(&error)),
        };
        return codec::decode_text(&text, CLIENT_TEXT_LIMIT)
            .map_err(|error| End::Refused(error.into()));
    }
}

/// What a broken stream means: a frame above the limit gets an answer, everything else is the end.
fn broken(error: &(dyn Error + 'static)) -> End {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tungstenite::Error::Capacity(
            tungstenite::error::CapacityError::MessageTooLong { size, max_size },
        )) = error.downcast_ref()
        {
            let (limit, got) = (*max_size, *size);
            let what = "frame";
            return End::Refused(CodecError::Oversized { what, limit, got }.into());
        }
        cause = error.source();
    }
    End::Gone
}

/// Sends what is queued, and signs of life.
async fn write<K>(sink: &mut K, queue: &mut mpsc::Receiver<Outgoing>, limits: &Limits) -> End
where
    K: Sink<Message> + Unpin,
{
    let mut beat = interval_at(Instant::now() + limits.heartbeat, limits.heartbeat);
    let mut quiet = true;
    loop {
        let message = tokio::select! {
            outgoing = queue.recv() => match outgoing {
                Some(Outgoing::Text(text)) => Message::Text(text),
                Some(Outgoing::Binary(bytes)) => Message::Binary(bytes),
                Some(Outgoing::Refuse(fault)) => return End::Refused(fault),
                None => return End::GoingAway,
            },
            _ = beat.tick() => {
                // A page cannot see pings, so silence is broken by a message too.
                if std::mem::replace(&mut quiet, true) {
                    let heartbeat = codec::encode_text(&ServerMessage::Heartbeat);
                    if sink.feed(Message::Text(heartbeat.into())).await.is_err() {
                        return End::Gone;
                    }
                }
                if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                    return End::Gone;
                }
                continue;
            }
        };
        quiet = false;
        if sink.send(message).await.is_err() {
            return End::Gone;
        }
    }
}

/// One connection's incoming side.
struct Reader<'a> {
    connection: ConnectionId,
    room: &'a RoomHandle,
    limits: &'a Limits,
    replies: mpsc::WeakSender<Outgoing>,
    pace: Pace,
    malformed: u32,
}

impl Reader<'_> {
    async fn read<S, E>(&mut self, stream: &mut S) -> End
    where
        S: Stream<Item = Result<Message, E>> + Unpin,
        E: Error + 'static,
    {
        loop {
            let message = match timeout(self.limits.silence, stream.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return broken(&error),
                Ok(None) => return End::Gone,
                Err(_) => {
                    let seconds = self.limits.silence.as_secs();
                    let message = format!("The client gave no sign of life for {seconds} seconds.");
                    return End::Refused(Fault::overloaded(message));
                }
            };
            if self.pace.take(Instant::now()).is_err() {
                let most = self.limits.messages_per_second;
                let message = format!("The client sends more than {most} messages a second.");
                return End::Refused(Fault::overloaded(message));
            }
            let taken = match message {
                Message::Text(text) => self.text(&text).await,
                Message::Binary(frame) => self.binary(frame).await,
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => Err(End::Gone),
            };
            if let Err(end) = taken {
                return end;
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

    async fn binary(&mut self, frame: Bytes) -> Result<(), End> {
        let (bytes, limit) = (frame.len(), self.room.frame_limit);
        let decode = move || codec::decode_binary::<ClientHeader>(&frame, limit);
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
        })
        .await
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
        if let Some(replies) = self.replies.upgrade() {
            // A full queue: the room will drop this connection with its next message.
            let _ = replies.try_send(Outgoing::Text(text.into()));
        }
        Ok(())
    }
}

async fn farewell<K>(sink: &mut K, end: End)
where
    K: Sink<Message> + Unpin,
{
    let (code, reason) = match end {
        End::Gone => (close_code::NORMAL, ""),
        End::GoingAway => (close_code::AWAY, "the server goes away"),
        End::Refused(fault) => {
            let refused = codec::encode_text(&ServerMessage::Refused(fault));
            if sink.send(Message::Text(refused.into())).await.is_err() {
                return;
            }
            (close_code::POLICY, "refused")
        }
    };
    let reason = Utf8Bytes::from_static(reason);
    let _ = sink
        .send(Message::Close(Some(CloseFrame { code, reason })))
        .await;
}
