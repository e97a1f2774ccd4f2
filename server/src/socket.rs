//! One WebSocket: hello, then frames both ways until one side ends it.
//!
//! Generic over the socket, so that it is tested without a network. Nothing here decides anything
//! about rounds: it checks sizes, pace and form, and passes messages between peer and room.

mod reader;
#[cfg(test)]
mod tests;
mod transport;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};
use bytes::Bytes;
use fl_core::codec::{self, CLIENT_TEXT_LIMIT, CodecError};
use fl_core::error::{Fault, FaultCode};
use fl_core::protocol::{ClientMessage, ServerMessage};
use fl_core::room::{ConnectionId, Hello};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::gate::{Meter, TooEarly};
use crate::limits::Limits;
use crate::metrics::{Counted, Metrics};
use crate::outbox::{Outgoing, Outgoings, Queue, outbox};
use crate::room_actor::Input;
use crate::rooms::{RoomHandle, Rooms};
use crate::visitors::Who;
use reader::Reader;
pub(crate) use transport::WebSocket;

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

/// One connection, and who is at its other end.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) connection: ConnectionId,
    pub(crate) who: Who,
    pub(crate) meter: Arc<Meter>,
    pub(crate) metrics: Metrics,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S, E>(
    socket: S,
    caller: Caller,
    rooms: Arc<Rooms>,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Send,
    E: Error + 'static,
{
    let (mut sink, mut stream) = socket.split();
    let _counted = Counted::new(&caller.metrics.connections);
    let end = tokio::select! {
        () = stop.cancelled() => End::GoingAway,
        end = converse(&mut sink, &mut stream, &caller, &rooms, &limits) => end,
    };
    // What it began to send is not waited for.
    caller.meter.await_little();
    if let End::Refused(fault) = &end {
        caller.metrics.refused_connection(fault.code);
    }
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
    caller: &Caller,
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
    let found = rooms.find(caller.who, &room).await;
    let room = match found.and_then(|room| room.takes_hello().map(|()| room)) {
        Ok(room) => room,
        Err(fault) => return End::Refused(fault),
    };
    let connection = caller.connection;
    let (outbox, outgoings) = outbox(limits.send_queue, &caller.metrics.send_queues);
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
    let mut reader = Reader::new(caller, &room, limits, replies);
    let end = tokio::select! {
        // In this order, so that the reason to go is heard before the queue's end.
        biased;
        // Dropped without a word when the room ends the connection through the queue.
        Ok(fault) = cut => End::Refused(fault),
        end = write(sink, &mut queue, &room, limits) => end,
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
        if is_too_early(error) {
            return End::Refused(Fault::malformed(format!(
                "The first message is no hello: {error}."
            )));
        }
        if let Some(&tokio_websockets::Error::PayloadTooLong { len, max_len }) =
            error.downcast_ref()
        {
            let (what, limit, got) = ("frame", max_len, len);
            return End::Refused(CodecError::Oversized { what, limit, got }.into());
        }
        cause = error.source();
    }
    End::Gone
}

fn is_too_early(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(|error| error.get_ref());
    inner.is_some_and(|inner| inner.is::<TooEarly>())
}

/// Sends what is queued, and signs of life.
async fn write<K>(sink: &mut K, queue: &mut Queue, room: &RoomHandle, limits: &Limits) -> End
where
    K: Sink<Message> + Unpin,
{
    let mut beat = interval_at(Instant::now() + limits.heartbeat, limits.heartbeat);
    let mut quiet = true;
    loop {
        tokio::select! {
            outgoing = queue.recv() => {
                quiet = false;
                // What comes with it goes with it: a round's end makes several messages.
                let Some(first) = outgoing else {
                    return End::GoingAway;
                };
                for outgoing in std::iter::once(first).chain(queue.waiting()) {
                    let message = match outgoing {
                        Outgoing::Text(text) => Message::Text(text),
                        Outgoing::Binary(bytes) => Message::Binary(bytes),
                        Outgoing::Refuse(fault) => {
                            if is_failed_hello(&fault) {
                                room.refused_hello();
                            }
                            // What is before it has the time that it takes.
                            return match sink.flush().await {
                                Ok(()) => End::Refused(fault),
                                Err(_) => End::Gone,
                            };
                        }
                    };
                    if sink.feed(message).await.is_err() {
                        return End::Gone;
                    }
                }
            }
            _ = beat.tick() => {
                // A page cannot see pings, so silence is broken by a message too.
                if std::mem::replace(&mut quiet, true) {
                    let heartbeat = codec::encode_text(&ServerMessage::Heartbeat);
                    if sink.feed(Message::Text(heartbeat.into())).await.is_err() {
                        return End::Gone;
                    }
                }
                if sink.feed(Message::Ping(Bytes::new())).await.is_err() {
                    return End::Gone;
                }
            }
        }
        if sink.flush().await.is_err() {
            return End::Gone;
        }
    }
}

/// Whether a room that ends a connection so never let it in.
fn is_failed_hello(fault: &Fault) -> bool {
    use FaultCode::{Malformed, ProtocolVersion, RoomFull};
    matches!(fault.code, ProtocolVersion | Malformed | RoomFull)
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
