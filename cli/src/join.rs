//! `lpfl join`: native clients of a room, the same program as in a tab without the tab.

mod host;
mod pin;
mod pinned;
mod stub;
mod trust;
mod watch;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use client_wasm::client;
use client_wasm::host::Input;
use client_wasm::library::Library;
use client_wasm::messages::{Command, Join, OwnTexts};
use fl_core::protocol::NAME_CHARACTERS;
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::StreamExt as _;
use futures_util::future::select;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinSet, LocalSet};

use host::NativeHost;
use pin::Fingerprint;
use watch::{Format, Watcher};

/// Take part in a room with clients of this machine, until the room has finished its rounds.
///
/// They learn as browser tabs do and share one copy of the model. Ctrl-C leaves the room.
#[derive(Debug, clap::Args)]
pub struct JoinArguments {
    /// Address of the server, e.g. http://127.0.0.1:8080, or a join link with the room's code
    url: String,
    /// Code of the room, unless the link has it
    #[arg(long, value_name = "CODE")]
    room: Option<String>,
    /// Number of clients: at most 1000, or 100000 with --stub
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// CSV, TSV or JSONL with `text` and, where known, `label`, for a room in which clients bring
    /// their own texts. Each client holds all of them
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Name shown to the others; several clients get a number behind it
    #[arg(long, value_name = "NAME", default_value = "Bot")]
    name: String,
    /// Trust the server whose certificate has this SHA-256 fingerprint, and no other: for a server
    /// that signed its certificate itself, which prints it at its start
    #[arg(long, value_name = "SHA256")]
    tls_fingerprint: Option<Fingerprint>,
    /// Print every event as one JSON object a line; with --stub one object at the end
    #[arg(long)]
    json: bool,
    /// Measure the server instead: clients that download no model, learn nothing and send made-up
    /// updates at once. Prints how long each step took. For rooms of your own, whose adapter they
    /// fill with noise
    #[arg(long, conflicts_with_all = ["data", "tls_fingerprint"])]
    stub: bool,
    /// Shares of the stubs that misbehave at each work order, e.g. drop=0.1,stall=0.05: drop (cut
    /// the connection, come back), stall (never report), flood (2000 messages at once), malformed
    /// (a broken frame), replay (old and doubled reports), cut (half a frame, then nothing or silence),
    /// flip (a bit of the report turned round on the way), duplicate (a second connection to its place)
    #[arg(long, value_name = "KIND=SHARE,…", requires = "stub")]
    misbehave: Option<stub::Shares>,
    /// Decides the stubs' updates, and who of them misbehaves
    #[arg(long, value_name = "N", default_value_t = 0, requires = "stub")]
    seed: u64,
    /// Also print, as the stubs hear of them, their places and each round's adapter: one JSON object
    /// a line
    #[arg(long, requires = "stub")]
    trace: bool,
}

/// Most clients that learn in one process.
const MOST_LEARNING: u32 = 1000;

/// Runs the command to its end.
pub fn run(arguments: JoinArguments) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    runtime.block_on(join(arguments))
}

/// Runs the clients to the room's end.
///
/// # Errors
/// One line when a client was refused, could not reach the server, or had to stop.
pub async fn join(arguments: JoinArguments) -> Result<()> {
    let (origin, room) = target(&arguments.url, arguments.room.as_deref())?;
    let clients = arguments.clients;
    let name = |number| numbered(&arguments.name, number, clients);
    if arguments.stub {
        let load = stub::Load {
            origin,
            room,
            names: (1..=clients).map(name).collect(),
            shares: arguments.misbehave.unwrap_or_default(),
            seed: arguments.seed,
            json: arguments.json,
            trace: arguments.trace,
        };
        return stub::run(load).await;
    }
    if clients > MOST_LEARNING {
        bail!(
            "--clients {clients}: at most {MOST_LEARNING} can learn in one process; add --stub for clients that do not"
        );
    }
    let texts = arguments.data.as_deref().map(own_texts).transpose()?;
    let joins = (1..=clients)
        .map(|number| Join {
            origin: origin.clone(),
            room: room.clone(),
            name: name(number),
            resume: None,
            texts: texts.clone(),
            workers: 1,
        })
        .collect();
    let format = if arguments.json {
        Format::Json
    } else {
        Format::Text
    };
    let tls = trust::settle(&origin, arguments.tls_fingerprint).await?;
    LocalSet::new()
        .run_until(watch_all(joins, format, tls))
        .await
}

/// One client of this process.
struct Running {
    inbox: UnboundedSender<Input>,
    /// Dropped to end the client without leaving the room.
    end: Option<oneshot::Sender<()>>,
}

async fn watch_all(
    joins: Vec<Join>,
    format: Format,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<()> {
    let mut watcher = Watcher::new(&joins, format);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = Arc::new(Semaphore::new(cores));
    let library = Rc::new(Library::new());
    let (events, mut seen) = unbounded();
    let mut tasks = JoinSet::new();
    let mut clients = Vec::new();
    for (index, join) in joins.into_iter().enumerate() {
        let host = NativeHost::new(index, events.clone(), Arc::clone(&cores), tls.clone());
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the system gives no random numbers")?;
        let rng = ChaCha8Rng::from_seed(seed);
        let (inbox, commands) = unbounded();
        let (end, ended) = oneshot::channel();
        inbox.unbounded_send(Input::Command(Command::Join(join)))?;
        let (library, sender) = (Rc::clone(&library), inbox.clone());
        tasks.spawn_local(async move {
            {
                // Gone before the flush, and its connection's sending side with it.
                let running = pin!(client::run(&host, &library, rng, sender, commands));
                select(running, ended).await;
            }
            host.flush().await;
        });
        clients.push(Running {
            inbox,
            end: Some(end),
        });
    }
    // What remains are the hosts' copies: the events end with the last client.
    drop(events);
    let mut leaving = false;
    loop {
        let (index, event) = tokio::select! {
            event = seen.next() => match event {
                Some(event) => event,
                None => break,
            },
            signal = tokio::signal::ctrl_c() => {
                signal.context("signals cannot be waited for")?;
                if std::mem::replace(&mut leaving, true) {
                    bail!("ended before every client had left the room");
                }
                for client in &clients {
                    // A client that has ended needs no telling.
                    let _ = client.inbox.unbounded_send(Input::Command(Command::Leave));
                }
                continue;
            }
        };
        watcher.see(index, &event);
        if watcher.is_over(index) {
            clients[index].end = None;
        }
    }
    while tasks.join_next().await.is_some() {}
    watcher.verdict().map_err(|reason| anyhow!(reason))
}

/// Origin and room of the arguments.
fn target(url: &str, room: Option<&str>) -> Result<(String, String)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        bail!("{url:?} is no address; expected one such as http://127.0.0.1:8080");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let linked = path.strip_prefix("r/").map(|code| {
        let end = code.find(['/', '?', '#']).unwrap_or(code.len());
        &code[..end]
    });
    match room
        .or(linked)
        .map(str::trim)
        .filter(|code| !code.is_empty())
    {
        Some(code) => Ok((format!("{scheme}://{host}"), code.to_owned())),
        None => bail!(
            "no room is named; add --room CODE, or give a link such as {scheme}://{host}/r/CODE"
        ),
    }
}

fn own_texts(path: &Path) -> Result<OwnTexts> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
    let content = String::from_utf8(bytes)
        .with_context(|| format!("{shown} is not UTF-8; save it as UTF-8"))?;
    Ok(OwnTexts {
        file: shown.to_string(),
        content,
    })
}

/// The name, with the number when there are several; short enough for the protocol.
fn numbered(name: &str, number: u32, clients: u32) -> String {
    let number = if clients > 1 {
        format!(" {number}")
    } else {
        String::new()
    };
    let room = NAME_CHARACTERS - number.len();
    let name: String = name.trim().chars().take(room).collect();
    name + &number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_in_the_link_or_named() {
        let both = |origin: &str, room: &str| (origin.to_owned(), room.to_owned());
        let plain = "http://127.0.0.1:8080";
        assert_eq!(target(plain, Some("abcd")).unwrap(), both(plain, "abcd"));
        let link = "https://lp.example/r/ABCD?x=1";
        let secure = "https://lp.example";
        assert_eq!(target(link, None).unwrap(), both(secure, "ABCD"));
        assert_eq!(target(link, Some("EFGH")).unwrap(), both(secure, "EFGH"));
        for (url, room) in [(plain, None), ("http://a/r/", None), ("a:1", Some("x"))] {
            assert!(target(url, room).is_err(), "{url}");
        }
    }

    #[test]
    fn names_fit_the_protocol() {
        assert_eq!(numbered(" Ada ", 1, 1), "Ada");
        assert_eq!(numbered("Ada", 2, 3), "Ada 2");
        let long = numbered(&"é".repeat(60), 100, 100);
        assert_eq!(long.chars().count(), NAME_CHARACTERS);
        assert!(long.ends_with(" 100"));
    }
}
