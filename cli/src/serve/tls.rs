//! The flags of `lpfl serve` for TLS, and the names of this machine.

use std::path::{Path, PathBuf};

use anyhow::Result;
use server::tls::Identity;

/// How the server identifies itself.
#[derive(Debug, clap::Args)]
pub struct TlsArguments {
    /// Serve over TLS with this certificate chain: a PEM file, the server's own certificate first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key: a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve over TLS with a certificate that the server makes and keeps in the data folder, for a
    /// network without a name of its own. Browsers warn of it; compare the fingerprint that they
    /// show with the printed one
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
}

impl TlsArguments {
    /// The certificate to serve with, where TLS is asked for.
    pub fn identity(&self, data_dir: &Path) -> Result<Option<Identity>> {
        if let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) {
            return Ok(Some(Identity::read(certificates, key)?));
        }
        if self.tls_self_signed {
            return Ok(Some(Identity::self_signed(data_dir, &machine_names())?));
        }
        Ok(None)
    }

    /// Whether others cannot know the certificate, and need its fingerprint.
    pub fn is_self_signed(&self) -> bool {
        self.tls_self_signed
    }
}

/// Names and addresses that other machines may use for this one.
fn machine_names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
    // A name that is no text is none that a browser could be given.
    names.extend(gethostname::gethostname().into_string());
    // Without them the certificate is still good for its fingerprint.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let others = interfaces
        .iter()
        .filter(|interface| !interface.is_loopback());
    names.extend(others.map(|interface| interface.ip().to_string()));
    names.sort();
    names.dedup();
    names
}
