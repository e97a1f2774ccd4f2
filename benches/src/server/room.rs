//! The room that is measured, and its owner.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fl_core::protocol::{PhaseView, RoomView};
use fl_core::settings::{Quorum, RoomSettings, Start, Texts};
use serde::Deserialize;

/// Time between two looks at a room.
const LOOK: Duration = Duration::from_millis(200);

/// A room whose owner is the bench.
pub struct Room {
    agent: ureq::Agent,
    url: String,
    pub code: String,
    token: String,
}

#[derive(Deserialize)]
struct Created {
    code: String,
    owner_token: String,
}

#[derive(Deserialize)]
struct Inspection {
    view: RoomView,
}

/// Every client has to report in every round, and nothing is evaluated: its texts are its own.
pub fn settings(clients: u32, rank: u32) -> RoomSettings {
    let mut settings = RoomSettings {
        title: "Load".into(),
        texts: Texts::Own,
        ..RoomSettings::default()
    };
    settings.lora.rank = rank;
    let round = &mut settings.round;
    round.start = Start::Manual;
    round.quorum = Quorum::Count(clients);
    (round.minimum, round.capacity) = (clients, clients);
    (round.deadline_seconds, round.rounds) = (3600, 100_000);
    settings
}

impl Room {
    /// Opens a room.
    ///
    /// # Errors
    /// What the server says.
    pub fn open(url: &str, settings: &RoomSettings) -> Result<Self> {
        let agent = ureq::Agent::new_with_defaults();
        let response = agent
            .post(format!("{url}/api/rooms"))
            .send_json(settings)
            .context("the room could not be opened")?;
        let Created { code, owner_token } = response.into_body().read_json()?;
        Ok(Self {
            agent,
            url: url.to_owned(),
            code,
            token: owner_token,
        })
    }

    /// Start, pause or finish.
    ///
    /// # Errors
    /// What the server says.
    pub fn command(&self, name: &str) -> Result<()> {
        self.agent
            .post(format!("{}/api/rooms/{}/{name}", self.url, self.code))
            .header("authorization", format!("Bearer {}", self.token))
            .send_empty()
            .with_context(|| format!("the room could not {name}"))?;
        Ok(())
    }

    /// Looks at the room until it is as wanted, or `patience` is over.
    ///
    /// # Errors
    /// What was seen last when it took too long.
    pub fn wait(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&RoomView) -> bool,
    ) -> Result<RoomView> {
        let begun = Instant::now();
        loop {
            let view = self.view()?;
            if is_so(&view) {
                return Ok(view);
            }
            ensure!(
                begun.elapsed() < patience,
                "{what} took longer than {patience:?}: {} ready, {} rounds, {:?}",
                view.ready,
                view.completed,
                view.phase
            );
            std::thread::sleep(LOOK);
        }
    }

    fn view(&self) -> Result<RoomView> {
        let response = self
            .agent
            .get(format!("{}/api/rooms/{}", self.url, self.code))
            .call()?;
        let mut body = response.into_body();
        let inspection: Inspection = body.with_config().limit(u64::MAX).read_json()?;
        Ok(inspection.view)
    }
}

/// Whether no round runs and none will.
pub fn is_paused(view: &RoomView) -> bool {
    view.phase == PhaseView::Paused
}
