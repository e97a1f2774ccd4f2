//! How many clients, kills and rounds, and everything random in them.

use std::env;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fl_core::settings::{Quorum, RoomSettings, Start, Texts};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Every misdeed alike: two of sixteen clients each.
const EVERY_MISDEED: &str = "drop=0.125,stall=0.125,flood=0.125,malformed=0.125,replay=0.125,\
                             cut=0.125,flip=0.125,duplicate=0.125";
/// What those do who come and go.
const MISDEEDS_OF_GUESTS: &str = "duplicate=0.25,cut=0.25";

/// Clients of one process.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub clients: u32,
    pub misdeeds: Option<&'static str>,
    pub seed: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    form: &'static str,
    /// Decides kills, churn and misdeeds. Processes race each other, so the same seed makes the same
    /// plan, and not the same run.
    pub seed: u64,
    pub kills: u32,
    pub rounds: u32,
    /// Chance that a server is killed again while it starts.
    pub killed_at_start: f64,
    well_behaved: u32,
    misbehaving: u32,
    /// Processes of clients that come and go.
    pub guests: u32,
    /// Clients in each of them.
    guests_each: u32,
    /// How much more memory a server may have late than early, as a share, beside
    /// [`super::memory::ALLOWED`].
    pub growth: f64,
}

impl Plan {
    /// The run that `LPFL_CHAOS` (`short` or `long`) and `LPFL_SEED` name.
    pub fn of_environment() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = env::var("LPFL_SEED").ok();
        let seed = seed.map_or_else(
            || now().as_millis() as u64 % 1_000_000,
            |seed| seed.parse().expect("LPFL_SEED is a whole number"),
        );
        match env::var("LPFL_CHAOS").as_deref() {
            Ok("long") => Self {
                form: "long",
                seed,
                kills: 30,
                rounds: 100,
                killed_at_start: 0.2,
                well_behaved: 8,
                misbehaving: 5,
                guests: 10,
                guests_each: 4,
                growth: 0.15,
            },
            Ok("short") | Err(_) => Self {
                form: "short",
                seed,
                kills: 5,
                rounds: 16,
                killed_at_start: 0.2,
                well_behaved: 2,
                misbehaving: 1,
                guests: 2,
                guests_each: 2,
                growth: 0.5,
            },
            Ok(other) => panic!("LPFL_CHAOS is {other:?}, expected short or long"),
        }
    }

    /// Of its folder.
    pub fn name(&self) -> String {
        format!("{}-{}", self.form, self.seed)
    }

    /// A generator of its own for each purpose.
    pub fn generator(&self, purpose: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed ^ purpose << 48)
    }

    /// The processes whose clients stay to the end: well-behaved ones, and those that misbehave at
    /// every order and count all the same when they do not.
    pub fn staying(&self) -> impl Iterator<Item = (String, Crowd)> {
        let seed = self.seed;
        let good = (0..self.well_behaved).map(move |number| {
            let (clients, misdeeds) = (WELL_BEHAVED_EACH, None);
            let seed = seed + u64::from(number);
            (
                format!("good-{number}"),
                Crowd {
                    clients,
                    misdeeds,
                    seed,
                },
            )
        });
        let bad = (0..self.misbehaving).map(move |number| {
            let (clients, misdeeds) = (MISBEHAVING_EACH, Some(EVERY_MISDEED));
            let seed = seed + 1_000 + u64::from(number);
            (
                format!("bad-{number}"),
                Crowd {
                    clients,
                    misdeeds,
                    seed,
                },
            )
        });
        good.chain(bad)
    }

    /// The clients of one process that comes and goes; `visit` counts them all.
    pub fn guest(&self, visit: u32) -> (String, Crowd) {
        let crowd = Crowd {
            clients: self.guests_each,
            misdeeds: Some(MISDEEDS_OF_GUESTS),
            seed: self.seed + 2_000 + u64::from(visit),
        };
        (format!("guest-{visit}"), crowd)
    }

    /// Clients that stay to the end.
    pub fn staying_clients(&self) -> u32 {
        self.well_behaved * WELL_BEHAVED_EACH + self.misbehaving * MISBEHAVING_EACH
    }

    /// All clients at one time.
    pub fn clients(&self) -> u32 {
        self.staying_clients() + self.guests * self.guests_each
    }

    /// The kills come in the first 60 % of the rounds; in the others memory is watched.
    pub fn round_of_kill(&self, kill: u32) -> u32 {
        (kill + 1) * self.rounds * 6 / 10 / self.kills
    }

    /// How long anything may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(240)
    }

    /// A round begins when most are ready, and does not wait for those who stall. It needs so many
    /// that at times it is given up at its deadline and tried again.
    pub fn settings(&self) -> RoomSettings {
        let mut settings = RoomSettings {
            title: "Chaos".into(),
            texts: Texts::Own,
            seed: self.seed as u32,
            ..RoomSettings::default()
        };
        // Updates of 16 KiB, which are all kept.
        settings.lora.rank = 1;
        let clients = self.clients();
        let round = &mut settings.round;
        // Not before everyone is there: a round takes a fraction of a second.
        round.start = Start::Manual;
        round.quorum = Quorum::Count(clients * 7 / 10);
        round.goal = clients * 7 / 10;
        round.minimum = clients * 6 / 10;
        round.capacity = 4 * clients;
        (round.deadline_seconds, round.grace_seconds) = (12, 1);
        round.rounds = self.rounds;
        settings
    }
}

const WELL_BEHAVED_EACH: u32 = 10;
const MISBEHAVING_EACH: u32 = 16;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "chaos, {} form, seed {}: {} clients ({} stay well-behaved, {} stay and misbehave, {} come and \
             go), {} kills, {} rounds",
            self.form,
            self.seed,
            self.clients(),
            self.well_behaved * WELL_BEHAVED_EACH,
            self.misbehaving * MISBEHAVING_EACH,
            self.guests * self.guests_each,
            self.kills,
            self.rounds
        )
    }
}
