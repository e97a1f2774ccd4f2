//! The page as a scenario reads and uses it: its state in one look, and a person's acts.

use fl_core::protocol::ClientId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::browser::Tab;
use crate::wait::until;

/// Everything that scenarios ask of a room's page, read in one script.
const LOOK: &str = r#"
    const one = (id) => document.querySelector(`[data-testid="${id}"]`);
    const number = (id) => {
        const text = one(id)?.textContent.replaceAll(',', '') ?? '';
        return text === '' ? null : Number(text);
    };
    const room = one('room')?.dataset ?? {};
    const rows = [...document.querySelectorAll('[data-testid="roster"] > [data-client]')];
    const points = [...document.querySelectorAll('tr[data-accuracy]')];
    const widths = [...document.querySelectorAll('[data-testid="try-result"] .bar > span')];
    return {
        path: location.pathname,
        phase: room.phase ?? '',
        completed: room.completed ? Number(room.completed) : null,
        hash: room.hash ?? '',
        client: room.client ? Number(room.client) : null,
        joined: room.joined === 'true',
        workers: Number(room.workers ?? 1),
        helped: Number(room.helped ?? 0),
        headline: document.querySelector('[data-testid="status"] .headline')?.textContent ?? '',
        members: rows.map((row) => ({
            client: Number(row.dataset.client),
            state: row.dataset.state,
            progress: row.querySelector('progress')?.value ?? null,
        })),
        faults: [...document.querySelectorAll('[data-testid="fault"]')].map((fault) => ({
            code: fault.dataset.code,
            words: fault.textContent,
        })),
        gold: number('gold-count'),
        soft: number('soft-count'),
        remaining: number('remaining-count'),
        bytes_up: Number(one('bytes-up')?.dataset.bytes ?? 0),
        accuracies: points.map(({ dataset }) => [Number(dataset.round), Number(dataset.accuracy)]),
        chart_points: Number(one('accuracy-chart')?.dataset.points ?? 0),
        answer_round: one('try-result')?.dataset.round ?? null,
        answer: widths.map((bar) => parseFloat(bar.style.width)),
    };
"#;

/// A room's page.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    pub path: String,
    pub phase: String,
    pub completed: Option<u32>,
    pub hash: String,
    pub client: Option<u32>,
    pub joined: bool,
    /// Workers that share the tab's work.
    pub workers: u32,
    /// Pieces of work that helpers have done.
    pub helped: u32,
    pub headline: String,
    pub members: Vec<Member>,
    pub faults: Vec<ShownFault>,
    pub gold: Option<u32>,
    pub soft: Option<u32>,
    pub remaining: Option<u32>,
    pub bytes_up: u64,
    /// Round and accuracy, from the chart's table.
    pub accuracies: Vec<(u32, f64)>,
    pub chart_points: usize,
    /// The round whose model answered in the box for one's own sentence.
    pub answer_round: Option<String>,
    /// Its probabilities, in percent.
    pub answer: Vec<f64>,
}

/// A row of "Who is here".
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    pub client: u32,
    pub state: String,
    pub progress: Option<f64>,
}

/// A fault as the page words it.
#[derive(Clone, Debug, Deserialize)]
pub struct ShownFault {
    pub code: String,
    pub words: String,
}

impl Page {
    /// This tab among the members.
    pub fn me(&self) -> Option<&Member> {
        let client = self.client?;
        self.members.iter().find(|member| member.client == client)
    }

    /// Whether this tab is in the middle of a round's training.
    pub fn is_training(&self) -> bool {
        let trains = |member: &Member| {
            member.state == "training" && member.progress.is_some_and(|done| done > 0.0)
        };
        self.phase == "working" && self.me().is_some_and(trains)
    }

    /// Members that are not away.
    pub fn present(&self) -> usize {
        let here = self.members.iter().filter(|member| member.state != "away");
        here.count()
    }

    /// This tab's number.
    pub fn number(&self) -> ClientId {
        ClientId(self.client.expect("the tab has joined"))
    }
}

impl Tab {
    /// The room's page as it is now.
    pub async fn look(&self) -> Page {
        self.script(LOOK, vec![]).await
    }

    /// The room's page, once it is as wanted.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&Page) -> bool) -> Page {
        until(&format!("{}: {what}", self.name), async || {
            let page: Page = self.try_script(LOOK, vec![]).await?;
            if wanted(&page) {
                return Ok(page);
            }
            Err(format!("{page:?}"))
        })
        .await
    }

    /// Opens a room's link and joins with one click; ends once the tab has its number.
    pub async fn join(&self, link: &str, name: &str) -> Page {
        self.open(link).await;
        self.write("[data-testid=\"name-input\"]", name).await;
        self.click("join-button").await;
        self.sees("joined", |page| page.joined && page.client.is_some())
            .await
    }

    /// The fault of this code, once the page tells it; its words must be a sentence for people.
    pub async fn told(&self, code: &str) -> ShownFault {
        let what = format!("the fault {code}");
        let page = self
            .sees(&what, |page| {
                page.faults.iter().any(|fault| fault.code == code)
            })
            .await;
        let fault = page.faults.into_iter().find(|fault| fault.code == code);
        let fault = fault.unwrap();
        assert!(fault.words.contains(' '), "no sentence: {fault:?}");
        assert!(
            !fault.words.contains(code) || !code.contains('_'),
            "a code instead of words: {fault:?}"
        );
        fault
    }

    /// Asks the common model about a sentence; ends once it has answered.
    pub async fn ask(&self, sentence: &str) -> Page {
        self.write("[data-testid=\"try-input\"]", sentence).await;
        self.click("try-button").await;
        let quoted = until(&format!("an answer in {}", self.name), async || {
            let quoted: Value = self
                .try_script(
                    r#"
                    const box = document.querySelector('[data-testid="try-result"]');
                    return [box.ariaBusy, box.querySelector('blockquote')?.textContent ?? ''];
                    "#,
                    vec![],
                )
                .await?;
            if quoted == json!(["false", sentence]) {
                return Ok(quoted);
            }
            Err(quoted.to_string())
        })
        .await;
        assert_eq!(quoted[1], sentence);
        self.look().await
    }
}
