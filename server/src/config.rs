//! What an operator can set, with its defaults.

use std::fmt;
use std::path::PathBuf;

use crate::limits::Limits;
use crate::password::Password;
use crate::tls::Identity;

/// How a server runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Folder of everything that outlives the process; made when it is missing.
    pub data_dir: PathBuf,
    /// Folders of base models (`config.json`, `tokenizer.json`, `model.safetensors`), offered under
    /// their own names next to the bundled one.
    pub models: Vec<PathBuf>,
    /// Origins other than the server's own whose pages may open WebSockets, e.g.
    /// `https://example.org`.
    pub allowed_origins: Vec<String>,
    /// Whether a client's address is taken from `X-Forwarded-For`, as a proxy before the server
    /// writes it. Without such a proxy anybody could claim any address.
    pub trust_proxy: bool,
    /// What those who open rooms have to know; anybody may without one.
    pub password: Option<Password>,
    /// The certificate to serve with; plain HTTP without one.
    pub tls: Option<Identity>,
    /// Whether every update that counts is kept, for [`crate::recording`].
    pub record: bool,
    /// The NATS that makes this process one of several; alone without one.
    pub nats: Option<Nats>,
    /// What one server holds and bears.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("lpfl-data"),
            models: Vec::new(),
            allowed_origins: Vec::new(),
            trust_proxy: false,
            password: None,
            tls: None,
            record: false,
            nats: None,
            limits: Limits::default(),
        }
    }
}

/// Where rooms' state lies when several processes share it.
#[derive(Clone)]
pub struct Nats {
    /// Addresses like `nats://host:4222`, separated by commas. They may hold a user and password.
    pub url: String,
    /// A file with credentials, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
}

impl Nats {
    /// The addresses without users and passwords.
    pub fn shown(&self) -> String {
        let shown = |address: &str| match address.trim().split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => {
                let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
                host.trim().to_owned()
            }
        };
        let shown: Vec<String> = self.url.split(',').map(shown).collect();
        shown.join(",")
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Nats").field(&self.shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_are_not_shown() {
        let nats = Nats {
            url: "nats://ada:s3cret@one:4222, tls://two,token@three:4".into(),
            credentials: None,
        };
        assert_eq!(nats.shown(), "nats://one:4222,tls://two,three:4");
        assert!(!format!("{nats:?}").contains("s3cret"));
    }
}
