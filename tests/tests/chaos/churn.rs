//! Clients that come and go: killed, stopped for a while, or told to leave, and others in their place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::plan::Plan;
use super::stub::Stub;

/// Least and longest time between two events, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..1200;
/// How long a process is stopped, in milliseconds: at times for longer than the server's patience
/// with a silent connection.
const STOPPED_MS: std::ops::Range<u64> = 300..12_000;
/// The same for clients that stay: a laptop that is closed for a moment.
const NAP_MS: std::ops::Range<u64> = 300..3_000;

/// The churn, which goes on in a thread of its own.
pub struct Churn {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Churned>>,
}

impl Drop for Churn {
    fn drop(&mut self) {
        // A test that fails leaves no guests behind.
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What it did.
#[derive(Default)]
pub struct Churned {
    /// Every process that came and went.
    pub stubs: Vec<Stub>,
    pub killed: u32,
    pub left: u32,
    pub stopped: u32,
}

impl Churn {
    /// Lets guests come at once, and go from then on; those who stay are stopped now and then.
    pub fn begin(plan: &Plan, url: &str, room: &str, folder: &Path, staying: &[Stub]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let guests = Guests {
            plan: plan.clone(),
            url: url.into(),
            room: room.into(),
            folder: folder.into(),
            staying: staying.iter().map(Stub::id).collect(),
            here: Vec::new(),
            stopped: Vec::new(),
            churned: Churned::default(),
            visits: 0,
        };
        let (rng, over) = (plan.generator(2), Arc::clone(&is_over));
        let thread = Some(spawn(move || guests.run(rng, &over)));
        Self { is_over, thread }
    }

    /// Ends it; the guests are gone then.
    pub fn end(mut self) -> Churned {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

struct Guests {
    plan: Plan,
    url: String,
    room: String,
    folder: PathBuf,
    staying: Vec<u32>,
    here: Vec<Stub>,
    /// Processes that were stopped, and when they go on.
    stopped: Vec<(u32, Instant)>,
    churned: Churned,
    visits: u32,
}

impl Guests {
    fn run(mut self, mut rng: ChaCha8Rng, is_over: &AtomicBool) -> Churned {
        for _ in 0..self.plan.guests {
            let guest = self.come();
            self.here.push(guest);
        }
        while !is_over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(rng.random_range(PAUSE_MS)));
            self.wake(Instant::now());
            self.event(&mut rng);
        }
        let end = Instant::now() + Duration::from_millis(STOPPED_MS.end);
        self.wake(end);
        for guest in self.here.drain(..) {
            guest.kill();
            self.churned.stubs.push(guest);
        }
        self.churned
    }

    fn come(&mut self) -> Stub {
        let (name, crowd) = self.plan.guest(self.visits);
        self.visits += 1;
        Stub::join(&self.url, &self.room, &self.folder, name, crowd)
    }

    fn event(&mut self, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.here.len());
        match rng.random_range(0..10) {
            0..5 => {
                self.here[place].kill();
                self.churned.killed += 1;
                self.replace(place);
            }
            // It leaves the room in order, if it still has a server to tell.
            5..7 => {
                self.here[place].signal("CONT");
                self.here[place].signal("INT");
                self.churned.left += 1;
                self.replace(place);
            }
            7..9 => {
                self.here[place].signal("STOP");
                let id = self.here[place].id();
                self.stop(id, rng.random_range(STOPPED_MS));
            }
            _ => {
                let id = self.staying[rng.random_range(0..self.staying.len())];
                if !self.stopped.iter().any(|(stopped, _)| *stopped == id) {
                    signal(id, "STOP");
                    self.stop(id, rng.random_range(NAP_MS));
                }
            }
        }
    }

    fn replace(&mut self, place: usize) {
        let guest = self.come();
        let gone = std::mem::replace(&mut self.here[place], guest);
        self.stopped.retain(|(id, _)| *id != gone.id());
        self.churned.stubs.push(gone);
    }

    fn stop(&mut self, id: u32, milliseconds: u64) {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        self.stopped.push((id, until));
        self.churned.stopped += 1;
    }

    /// Lets those go on whose time has come.
    fn wake(&mut self, now: Instant) {
        self.stopped.retain(|&(id, until)| {
            if until > now {
                return true;
            }
            signal(id, "CONT");
            false
        });
    }
}

/// Sends a signal to a process of ours, which may have ended.
fn signal(id: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let kill = kill.args([&format!("-{name}"), &id.to_string()]);
    let _ = kill.stderr(std::process::Stdio::null()).status();
}
