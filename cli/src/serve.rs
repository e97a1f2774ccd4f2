//! `lpfl serve`: binds the address, says where to look, and serves until it is told to stop.

mod tls;

use std::env::VarError;
use std::io::{ErrorKind, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use server::tls::Identity;
use server::{LimitError, LimitInfo, Limits, Nats, Password, Server, ServerConfig};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::open_files;

/// Names the password in the environment.
const PASSWORD: &str = "LPFL_PASSWORD";
/// Names NATS's address in the environment.
const NATS: &str = "LPFL_NATS";

/// Serve the page, the rooms and the models until Ctrl-C.
///
/// What the rooms have learned is kept in the data folder: a server started again with the same
/// folder goes on with the same rooms and rounds.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on; 0.0.0.0:8080 lets other machines in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder for rooms, rounds and adapters; made when it is missing
    #[arg(long, value_name = "DIR", default_value = "lpfl-data")]
    data_dir: PathBuf,
    /// Folder of a further base model: config.json, tokenizer.json and model.safetensors of a
    /// BERT-type masked language model. Can be given several times
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Origin whose pages may connect too, e.g. https://example.org. Can be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// Share rooms with all processes that name the same NATS, e.g. nats://192.0.2.1:4222; several
    /// addresses of one cluster are separated by commas. It has to run with JetStream. Rooms live
    /// there then, not in the data folder. An address with a password is better given as LPFL_NATS
    /// in the environment, where other users of the machine do not see it
    #[arg(long, value_name = "URL", conflicts_with = "record")]
    nats: Option<String>,
    /// File with credentials for NATS, as `nsc` writes it
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<PathBuf>,
    /// Keep every update that counts in the data folder, so that `lpfl replay` can compute the
    /// rounds again. An update tells more of its client's texts than the average of all does; the
    /// page says to everyone who joins that updates are kept
    #[arg(long)]
    record: bool,
    /// Take clients' addresses from X-Forwarded-For, which a proxy before this server has to set.
    /// Without such a proxy anybody could claim any address, and per-address limits would be none
    #[arg(long)]
    trust_proxy: bool,
    /// Ask those who open rooms for the password in this file. It can also be given as
    /// LPFL_PASSWORD in the environment
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: tls::TlsArguments,
    /// How the log on standard error is written; LPFL_LOG chooses what, e.g. LPFL_LOG=server=debug
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Change a limit; can be given several times
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit, long_help = limits_help())]
    limits: Vec<String>,
}

/// A form of the log.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// A setting that [`Limits::set`] takes.
fn limit(setting: &str) -> Result<String, LimitError> {
    Limits::default().set(setting)?;
    Ok(setting.to_owned())
}

fn limits_help() -> String {
    let mut help =
        "Change a limit; can be given several times. The limits and their defaults:\n".to_owned();
    for LimitInfo {
        name,
        default,
        meaning,
    } in Limits::table()
    {
        help += &format!("\n{name}={default}\n    {meaning}");
    }
    help
}

/// Runs the command to its end.
pub fn run(arguments: Arguments) -> Result<()> {
    start_log(arguments.log_format);
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| unbound(arguments.listen, &error))?;
    let address = listener.local_addr().context("the socket has no address")?;
    let shutdown = shutdown_signal().context("signals cannot be waited for")?;
    let mut limits = Limits::default();
    for setting in &arguments.limits {
        limits.set(setting)?;
    }
    let password = password(arguments.password_file.as_deref())?;
    let nats = nats(arguments.nats, arguments.nats_creds)?;
    let place = match &nats {
        Some(nats) => format!("rooms in NATS at {}", nats.shown()),
        None => format!("data in {}", arguments.data_dir.display()),
    };
    let tls = arguments.tls.identity(&arguments.data_dir)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let fingerprint = tls.as_ref().map(Identity::fingerprint);
    let fingerprint = fingerprint.filter(|_| arguments.tls.is_self_signed());
    let config = ServerConfig {
        data_dir: arguments.data_dir,
        models: arguments.models,
        allowed_origins: arguments.allowed_origins,
        record: arguments.record,
        trust_proxy: arguments.trust_proxy,
        tls,
        password,
        nats,
        limits,
    };
    make_room(config.limits.connections);
    let server = Server::open(config).await?;
    println!("{}", greeting(scheme, address, &place));
    if let Some(fingerprint) = fingerprint {
        println!("SHA-256 fingerprint of the certificate: {fingerprint}");
    }
    server.serve(listener, shutdown).await?;
    Ok(())
}

/// The password of the file or, without one, of the environment.
fn password(file: Option<&Path>) -> Result<Option<Password>> {
    let (text, place) = match file {
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("the password file {shown} cannot be read"))?;
            (text, shown.to_string())
        }
        None => match std::env::var(PASSWORD) {
            Ok(text) => (text, PASSWORD.to_owned()),
            Err(VarError::NotPresent) => return Ok(None),
            Err(VarError::NotUnicode(_)) => bail!("{PASSWORD} is not UTF-8"),
        },
    };
    let password = Password::new(&text).with_context(|| format!("{place} holds no password"))?;
    Ok(Some(password))
}

/// The NATS of the flag or, without one, of the environment.
fn nats(url: Option<String>, credentials: Option<PathBuf>) -> Result<Option<Nats>> {
    let url = match (url, std::env::var(NATS)) {
        (Some(url), _) | (None, Ok(url)) => url,
        (None, Err(VarError::NotPresent)) if credentials.is_none() => return Ok(None),
        (None, Err(VarError::NotPresent)) => bail!("--nats-creds is given without --nats"),
        (None, Err(VarError::NotUnicode(_))) => bail!("{NATS} is not UTF-8"),
    };
    Ok(Some(Nats { url, credentials }))
}

/// Lets the process hold as many sockets as its limits say, where the system allows it.
fn make_room(connections: usize) {
    /// Files of models, rooms and the database, and downloads.
    const OTHERS: u64 = 256;
    if let Err(error) = open_files::allow(connections as u64 + OTHERS) {
        tracing::warn!("connections may fail: {error:#}");
    }
}

/// One line with the address to open.
fn greeting(scheme: &str, address: SocketAddr, place: &str) -> String {
    if !address.ip().is_unspecified() {
        return format!("Open {scheme}://{address} ({place})");
    }
    let port = address.port();
    let others = match network_address() {
        Some(ip) => format!(
            ", on other machines {scheme}://{}",
            SocketAddr::new(ip, port)
        ),
        None => String::new(),
    };
    format!("Open {scheme}://127.0.0.1:{port}{others} ({place})")
}

/// The address that this machine has in its network, where it has one.
fn network_address() -> Option<IpAddr> {
    // Connecting a UDP socket sends nothing; it only makes the system choose the way out.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

fn unbound(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let mend = match error.kind() {
        ErrorKind::AddrInUse => "stop the program that uses it, or name another port with --listen",
        ErrorKind::PermissionDenied => "ports below 1024 need rights; name another with --listen",
        _ => "name an address of this machine with --listen",
    };
    anyhow!("cannot listen on {address} ({error}); {mend}")
}

/// Resolves at the first Ctrl-C or, on Unix, SIGTERM.
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        let terminated = terminate.recv();
        #[cfg(not(unix))]
        let terminated = std::future::pending::<Option<()>>();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
        }
        tracing::info!("ending");
    })
}

/// Logs to standard error.
fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("LPFL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
