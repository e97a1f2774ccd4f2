//! What an operator can set, with its defaults.

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
            limits: Limits::default(),
        }
    }
}
