//! Who the server is over TLS: its certificate and key, from files or made by itself.

mod listener;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

pub(crate) use listener::TlsListener;

/// File of the data folder with a key and a certificate that the server made.
const SELF_SIGNED: &str = "self-signed.pem";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read ({reason}); it has to be a PEM file that this user may read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file without what it is to have.
    #[error("{path} has no {what}; expected a PEM file with one")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not work together.
    #[error("{path} cannot be used with its key ({reason}); name a certificate and its own key")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
    /// A new certificate could not be made or kept.
    #[error("{path} cannot be made ({reason}); check the data folder's permissions")]
    NotMade {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

/// A certificate chain and its key, ready to serve with.
#[derive(Clone)]
pub struct Identity {
    config: Arc<rustls::ServerConfig>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.fingerprint())
            .finish()
    }
}

impl Identity {
    /// Reads a certificate chain, the server's own certificate first, and its key; both PEM.
    ///
    /// # Errors
    /// [`TlsError`] with the file that is at fault.
    pub fn read(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_chain(certificates)?;
        let key = read_key(key)?;
        Self::new(certificates, chain, key)
    }

    /// The certificate that this server signed itself for `names` (host names and addresses), made
    /// and kept in the data folder at the first time.
    ///
    /// It does not run out: who trusts it trusts its fingerprint, which a new one would change.
    ///
    /// # Errors
    /// [`TlsError`] when it cannot be made, kept or read.
    pub fn self_signed(data_dir: &Path, names: &[String]) -> Result<Self, TlsError> {
        let path = data_dir.join(SELF_SIGNED);
        if !path.exists() {
            let not_made = |reason: String| TlsError::NotMade {
                path: path.clone(),
                reason,
            };
            let made = rcgen::generate_simple_self_signed(names);
            let made = made.map_err(|error| not_made(error.to_string()))?;
            let pem = made.signing_key.serialize_pem() + &made.cert.pem();
            keep_secret(&path, &pem).map_err(|error| not_made(error.to_string()))?;
        }
        Self::read(&path, &path)
    }

    fn new(
        path: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let unusable = |error: rustls::Error| TlsError::Unusable {
            path: path.into(),
            reason: error.to_string(),
        };
        let fingerprint = match chain.first() {
            Some(own) => Sha256::digest(own).into(),
            None => return Err(missing(path, "certificate")),
        };
        // Named, because other crates of a program may bring other providers.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(unusable)?;
        // WebSockets are opened over HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            fingerprint,
        })
    }

    /// SHA-256 of the server's certificate: pairs of hexadecimal digits with colons between, as
    /// browsers show it.
    pub fn fingerprint(&self) -> String {
        let pairs = self.fingerprint.iter().map(|byte| format!("{byte:02X}"));
        pairs.collect::<Vec<_>>().join(":")
    }

    pub(crate) fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| unreadable(path, &error);
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    match chain.is_empty() {
        true => Err(missing(path, "certificate")),
        false => Ok(chain),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => missing(path, "private key"),
        error => unreadable(path, &error),
    })
}

fn missing(path: &Path, what: &'static str) -> TlsError {
    TlsError::Missing {
        path: path.into(),
        what,
    }
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// Writes a file that only this user may read; it is there as a whole or not at all.
fn keep_secret(path: &Path, content: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["localhost".into(), "127.0.0.1".into()]
    }

    #[test]
    fn self_signed_certificate_is_made_once_and_kept_secret() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let made = Identity::self_signed(&data, &names()).unwrap();
        let again = Identity::self_signed(&data, &["other".into()]).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        assert_eq!(made.fingerprint().len(), 32 * 3 - 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.join(SELF_SIGNED)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(names()).unwrap();
        let other = rcgen::generate_simple_self_signed(names()).unwrap();
        let certificate = file("cert.pem", &made.cert.pem());
        let key = file("key.pem", &made.signing_key.serialize_pem());
        let others_key = file("other.pem", &other.signing_key.serialize_pem());
        let text = file("text.pem", "Hello");
        let absent = folder.path().join("absent.pem");
        Identity::read(&certificate, &key).unwrap();
        let wrong = |certificate: &Path, key: &Path| {
            Identity::read(certificate, key).unwrap_err().to_string()
        };
        let cases = [
            (wrong(&absent, &key), "absent.pem cannot be read"),
            (wrong(&text, &key), "text.pem has no certificate"),
            (wrong(&certificate, &text), "text.pem has no private key"),
            (
                wrong(&certificate, &certificate),
                "cert.pem has no private key",
            ),
            (
                wrong(&certificate, &others_key),
                "cert.pem cannot be used with its key",
            ),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::self_signed(folder.path(), &names()).unwrap();
        let shown = format!("{identity:?}");
        assert!(shown.len() < 120, "{shown}");
    }
}
