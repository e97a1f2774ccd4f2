//! What a client needs of the machine it runs on: a tab's worker, or a native process.

use std::future::Future;

use fl_core::room::Millis;
use futures_channel::mpsc::UnboundedSender;
use learner::LocalClient;

use crate::download::DownloadError;
use crate::driver::Driver;
use crate::messages::{Command, Event};

/// What goes into a client, in the order in which it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// From the person.
    Command(Command),
    /// From the connection with this number.
    Socket(u64, SocketEvent),
}

/// What a connection tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SocketEvent {
    /// It is open.
    Opened,
    /// A text frame came.
    Text(String),
    /// A binary frame came.
    Binary(Vec<u8>),
    /// It is gone, or could not be opened.
    Closed,
}

/// A frame to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

/// The machine. A client runs on one thread; nothing here need be sent to another one.
pub trait Host {
    /// Milliseconds on a clock that never goes back.
    fn now(&self) -> Millis;

    /// Waits.
    fn sleep(&self, pause: Millis) -> impl Future<Output = ()>;

    /// Tells the page, or whoever watches.
    fn emit(&self, event: Event);

    /// Opens a connection, which tells `inbox` under its number what happens to it. What comes
    /// out of the returned sender is sent in order; when the sender is dropped, the connection
    /// closes after the last frame.
    fn connect(
        &self,
        url: &str,
        number: u64,
        inbox: UnboundedSender<Input>,
    ) -> UnboundedSender<Frame>;

    /// Does [`Driver::step`] once, or the same with helpers, and lets everything else have a turn.
    fn step(&self, driver: Driver) -> impl Future<Output = Driver>;

    /// How many workers may share the work from now on; a host without helpers has one.
    fn allow_workers(&self, _count: u32) {}

    /// The files of the model that clients are about to use, for helpers.
    fn share_model(&self, _files: &[(&str, &[u8])]) {}

    /// A client is ready, so that helpers can be made so.
    fn client_loaded(&self, _client: &LocalClient) {}

    /// Fetches `url` and hands its content over piece by piece; `what` names it in errors.
    fn fetch(
        &self,
        url: &str,
        what: &str,
        take: impl FnMut(&[u8]) -> Result<(), DownloadError>,
    ) -> impl Future<Output = Result<(), DownloadError>>;

    /// What [`Self::keep`] kept under the key. A store that fails has nothing.
    fn kept(&self, key: &str) -> impl Future<Output = Option<Vec<u8>>>;

    /// Keeps something for the next visit, in place of what has the same key up to its `?`.
    fn keep(&self, key: &str, content: &[u8]) -> impl Future<Output = Result<(), NotKept>>;
}

/// Why something is not kept for the next visit, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(pub String);
