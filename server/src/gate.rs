//! Where connections come in: each gets a meter, which knows how much of a frame has been read.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSemaphore;

use crate::in_flight::{Budget, Share};
use crate::metrics::Metrics;

/// Bytes of one frame that are read without a share of the budget.
const FREE: usize = 16 * 1024;
/// Bytes of a client's ping or pong before its payload.
const CONTROL_HEADER: usize = 6;

/// A listener whose connections are metered.
pub(crate) struct Gate<L> {
    inner: L,
    budget: Budget,
    metrics: Metrics,
}

impl<L> Gate<L> {
    /// Meters the connections of `inner`.
    pub(crate) fn new(inner: L, budget: Budget, metrics: Metrics) -> Self {
        Self {
            inner,
            budget,
            metrics,
        }
    }
}

impl<L: Listener<Addr = SocketAddr>> Listener for Gate<L> {
    type Io = Metered<L::Io>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (inner, address) = self.inner.accept().await;
        let metered = Metered {
            inner,
            meter: Arc::new(Meter::new(self.budget.clone())),
            turn: PollSemaphore::new(self.budget.permits()),
            metrics: self.metrics.clone(),
        };
        (metered, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) meter: Arc<Meter>,
}

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, Gate<L>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate<L>>) -> Self {
        Self {
            address: *stream.remote_addr(),
            meter: Arc::clone(&stream.io().meter),
        }
    }
}

/// What a connection has read of the frame that is under way.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: Budget,
    frame: Mutex<Frame>,
}

#[derive(Debug)]
struct Frame {
    read: usize,
    allowance: Allowance,
    share: Option<Share>,
}

/// What may be read of a frame beyond [`FREE`].
#[derive(Clone, Copy, Debug)]
enum Allowance {
    /// Everything: HTTP has its own bound.
    All,
    /// Nothing: the peer has nothing large to say.
    Nothing,
    /// As much as these permits allow.
    Share(u32),
}

/// A peer sent a large frame before its hello.
#[derive(Debug, thiserror::Error)]
#[error("more than {} bytes came before a hello", FREE)]
pub(crate) struct TooEarly;

impl Meter {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            frame: Mutex::new(Frame {
                read: 0,
                allowance: Allowance::All,
                share: None,
            }),
        }
    }

    /// From now on this is a WebSocket whose peer has nothing large to say: it has to say hello, or
    /// goodbye.
    pub(crate) fn await_little(&self) {
        self.begin(Allowance::Nothing);
    }

    /// From now on frames have up to so many bytes.
    pub(crate) fn await_frames(&self, most: usize) {
        let permits = self.budget.permits_for(most);
        self.begin(Allowance::Share(permits));
    }

    fn begin(&self, allowance: Allowance) {
        let mut frame = self.frame();
        frame.read = 0;
        frame.allowance = allowance;
        frame.share = None;
    }

    /// A whole frame with a message was read.
    pub(crate) fn frame_ended(&self) -> Option<Share> {
        let mut frame = self.frame();
        frame.read = 0;
        frame.share.take()
    }

    /// A ping or pong with so many bytes was read, which may lie between the parts of a message.
    /// Whether nothing of a message is there.
    pub(crate) fn control_ended(&self, payload: usize) -> bool {
        let mut frame = self.frame();
        frame.read = frame.read.saturating_sub(CONTROL_HEADER + payload);
        frame.read == 0
    }

    /// The share of a frame of so many bytes, which has ended: what is left of the one given when
    /// it was read, or a new one.
    pub(crate) async fn share(&self, given: Option<Share>, bytes: usize) -> Option<Share> {
        let Some(mut share) = given else {
            return self.budget.share(bytes).await;
        };
        share.shrink(self.budget.permits_for(bytes));
        Some(share)
    }

    /// Whether reading waits for other connections' frames.
    pub(crate) fn is_waiting(&self) -> bool {
        self.permits_needed().is_ok_and(|permits| permits.is_some())
    }

    fn permits_needed(&self) -> Result<Option<u32>, TooEarly> {
        let frame = self.frame();
        if frame.read < FREE || frame.share.is_some() {
            return Ok(None);
        }
        match frame.allowance {
            Allowance::All => Ok(None),
            Allowance::Nothing => Err(TooEarly),
            Allowance::Share(permits) => Ok(Some(permits)),
        }
    }

    fn frame(&self) -> MutexGuard<'_, Frame> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that reads no further than its meter lets it.
pub(crate) struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
    turn: PollSemaphore,
    metrics: Metrics,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.meter.permits_needed() {
            Err(early) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, early)));
            }
            Ok(Some(permits)) => {
                // None: the semaphore is closed, which it never is.
                let permit = ready!(self.turn.poll_acquire_many(context, permits));
                self.meter.frame().share = permit.map(Share::new);
            }
            Ok(None) => {}
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.meter.frame().read += read;
        self.metrics.received.inc_by(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, buffer))?;
        self.metrics.sent.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, buffers))?;
        self.metrics.sent.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn metered(budget: &Budget) -> (Metered<DuplexStream>, DuplexStream) {
        let (peer, inner) = duplex(1 << 20);
        let metered = Metered {
            inner,
            meter: Arc::new(Meter::new(budget.clone())),
            turn: PollSemaphore::new(budget.permits()),
            metrics: Metrics::new(),
        };
        (metered, peer)
    }

    #[tokio::test]
    async fn large_frame_waits_for_its_share() {
        let budget = Budget::new(1);
        let (mut metered, mut peer) = metered(&budget);
        let meter = Arc::clone(&metered.meter);
        meter.await_frames(300 * 1024);
        peer.write_all(&[0; 100 * 1024]).await.unwrap();
        let all = budget.share(512 * 1024).await.unwrap();
        let mut first = vec![0; FREE];
        metered.read_exact(&mut first).await.unwrap();
        let mut rest = vec![0; 36 * 1024];
        let mut reading = pin!(metered.read_exact(&mut rest));
        let mut context = Context::from_waker(Waker::noop());
        assert!(reading.as_mut().poll(&mut context).is_pending());
        assert!(meter.is_waiting());
        drop(all);
        reading.await.unwrap();
        assert_eq!(budget.permits().available_permits(), 1024 - 600);
        let share = meter.share(meter.frame_ended(), 100 * 1024).await;
        assert_eq!(budget.permits().available_permits(), 1024 - 200);
        drop(share);
        assert_eq!(budget.permits().available_permits(), 1024);
    }

    #[tokio::test]
    async fn hello_is_small() {
        let (mut metered, mut peer) = metered(&Budget::new(1));
        metered.meter.await_little();
        peer.write_all(&[0; FREE + 1]).await.unwrap();
        let mut read = vec![0; FREE];
        metered.read_exact(&mut read).await.unwrap();
        let error = metered.read(&mut read).await.unwrap_err();
        assert!(error.to_string().contains("before a hello"), "{error}");
    }

    #[tokio::test]
    async fn requests_and_small_frames_need_no_share() {
        let budget = Budget::new(1);
        let _all = budget.share(1 << 20).await;
        let (mut metered, mut peer) = metered(&budget);
        let mut read = vec![0; 2 * FREE];
        peer.write_all(&read).await.unwrap();
        metered.read_exact(&mut read).await.unwrap();
        metered.meter.await_frames(1 << 20);
        for _ in 0..3 {
            peer.write_all(&read[..FREE]).await.unwrap();
            metered.read_exact(&mut read[..FREE]).await.unwrap();
            assert!(metered.meter.frame_ended().is_none());
        }
    }

    #[test]
    fn pongs_do_not_count() {
        let meter = Meter::new(Budget::new(1));
        meter.await_frames(1 << 20);
        meter.frame().read += 2 * CONTROL_HEADER + 10;
        assert!(!meter.control_ended(0));
        assert!(meter.control_ended(10));
    }
}
