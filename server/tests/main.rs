//! The server over real sockets: HTTP, whole rounds, hostile peers, restarts.

mod hostile;
mod http;
mod restart;
mod sessions;
mod support;
