//! Downloads over pinned TLS: what ureq's own connector does, with our trust.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use ureq::{Agent, Error, config::Config};

/// An agent that speaks TLS by these rules only.
pub fn agent(config: Config, tls: Arc<ClientConfig>) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(Pinned(tls));
    Agent::with_parts(config, connector, DefaultResolver::default())
}

#[derive(Debug)]
struct Pinned(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Pinned {
    type Out = Stream;

    fn connect(
        &self,
        details: &ConnectionDetails,
        below: Option<In>,
    ) -> Result<Option<Stream>, Error> {
        let (Some(below), true) = (below, details.needs_tls()) else {
            return Err(Error::Tls("a pinned server is reached over https only"));
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HostNotFound)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut socket = TransportAdapter::new(below.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let sizes = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Stream {
            buffers: LazyBuffers::new(sizes.0, sizes.1),
            tls: StreamOwned::new(connection, socket),
        }))
    }
}

struct Stream {
    buffers: LazyBuffers,
    tls: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.tls.get_mut().set_timeout(timeout);
        self.tls.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.tls.get_mut().set_timeout(timeout);
        let amount = self.tls.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.tls.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
