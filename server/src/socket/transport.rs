//! A WebSocket on a stream of bytes, as messages.
//!
//! What is sent is written from where it lies: a broadcast is held once, however many connections
//! it waits for. What was read is given back to the system: a connection that has carried a large
//! frame holds no more memory than before.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets as ws;

/// Payloads above this have made the connection's buffer grow.
const LARGE: usize = 4 * 1024;

/// A connection's messages.
pub(crate) struct WebSocket<T> {
    /// None only while it is being replaced.
    inner: Option<ws::WebSocketStream<T>>,
    /// The last payload, if it was large: while it is held, the buffer that it lies in cannot be
    /// used again, and a small new one takes its place.
    large: Option<Bytes>,
    /// After a frame that was too long: what still comes in is no frame.
    is_deaf: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// The server's end of a stream whose handshake is over; it takes messages of up to `most`
    /// bytes.
    pub(crate) fn new(stream: T, most: usize) -> Self {
        let limits = ws::Limits::default().max_payload_len(Some(most));
        Self {
            inner: Some(server().limits(limits).serve(stream)),
            large: None,
            is_deaf: false,
        }
    }

    /// A frame was too long to be read: the peer can still be told so, on a stream that has no
    /// part of it.
    fn stop_listening(&mut self) {
        self.is_deaf = true;
        self.inner = self
            .inner
            .take()
            .map(|inner| server().serve(inner.into_inner()));
    }
}

fn server() -> ws::ServerBuilder {
    // A message is one frame: its bytes are shared by all connections.
    ws::ServerBuilder::new().config(ws::Config::default().frame_size(usize::MAX))
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<T> {
    type Item = Result<Message, ws::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if this.is_deaf {
            return discard(inner.get_mut(), context).map(|()| None);
        }
        let next = inner.poll_next_unpin(context);
        // By now the connection has its new buffer.
        this.large = None;
        let Some(message) = ready!(next) else {
            return Poll::Ready(None);
        };
        match message {
            Ok(message) => {
                let (message, payload) = received(message);
                this.large = payload.filter(|payload| payload.len() > LARGE);
                Poll::Ready(Some(Ok(message)))
            }
            Err(error) => {
                if matches!(error, ws::Error::PayloadTooLong { .. }) {
                    this.stop_listening();
                }
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

/// Reads until the peer ends.
fn discard(stream: &mut (impl AsyncRead + Unpin), context: &mut Context<'_>) -> Poll<()> {
    let mut bytes = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}

/// The message, and its payload where it is a binary one.
fn received(message: ws::Message) -> (Message, Option<Bytes>) {
    let (is_text, is_binary) = (message.is_text(), message.is_binary());
    let (is_ping, is_pong) = (message.is_ping(), message.is_pong());
    let payload = Bytes::from(message.into_payload());
    let message = match (is_text, is_binary, is_ping, is_pong) {
        (true, ..) => match Utf8Bytes::try_from(payload.clone()) {
            Ok(text) => Message::Text(text),
            // The library lets no other through.
            Err(_) => Message::Close(None),
        },
        (_, true, ..) => Message::Binary(payload.clone()),
        (_, _, true, _) => Message::Ping(payload.clone()),
        (.., true) => Message::Pong(payload.clone()),
        _ => Message::Close(None),
    };
    (message, Some(payload))
}

fn sent(message: Message) -> ws::Message {
    match message {
        Message::Text(text) => ws::Message::text(Bytes::from(text)),
        Message::Binary(bytes) => ws::Message::binary(bytes),
        Message::Ping(bytes) => ws::Message::ping(bytes),
        Message::Pong(bytes) => ws::Message::pong(bytes),
        Message::Close(None) => ws::Message::close(None, ""),
        Message::Close(Some(CloseFrame { code, reason })) => {
            let code = ws::CloseCode::try_from(code).unwrap_or(ws::CloseCode::NORMAL_CLOSURE);
            ws::Message::close(Some(code), &reason)
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<T> {
    type Error = ws::Error;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ws::Error>> {
        self.inner
            .as_mut()
            .map_or(closed(), |inner| inner.poll_ready_unpin(context))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ws::Error> {
        let inner = self.inner.as_mut().ok_or(ws::Error::AlreadyClosed)?;
        inner.start_send_unpin(sent(message))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ws::Error>> {
        self.inner
            .as_mut()
            .map_or(closed(), |inner| inner.poll_flush_unpin(context))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ws::Error>> {
        self.inner
            .as_mut()
            .map_or(closed(), |inner| inner.poll_close_unpin(context))
    }
}

fn closed() -> Poll<Result<(), ws::Error>> {
    Poll::Ready(Err(ws::Error::AlreadyClosed))
}
