//! One client of a room between rounds: its texts, its soft labels and the newest global adapter.
//!
//! The same code works in a tab and in a native client; downloads, sockets and clocks are theirs.

use fl_core::adapter::Adapter;
use fl_core::settings::{RoomSettings, Texts};
use fl_core::soft_labels::{SoftSet, softmax};

use crate::error::LearnerError;
use crate::job::{Job, JobResult};
use crate::learner::Learner;
use crate::model::BaseModel;
use crate::prompt::Encoded;
use crate::round::{ClientTexts, LocalRound, Step};
use crate::texts::Row;
use crate::{Result, texts};

/// What a client has labelled so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Gold examples.
    pub gold: u32,
    /// Soft-labelled examples.
    pub soft: u32,
    /// Unlabelled texts without a soft label.
    pub remaining: u32,
    /// Mean confidence of the soft labels, 0 without any.
    pub confidence: f32,
}

/// A learner with one client's texts, which takes part in one round after the other.
#[derive(Debug)]
pub struct LocalClient {
    learner: Learner,
    settings: RoomSettings,
    shard: u32,
    texts: ClientTexts,
    skipped: Vec<String>,
    /// The labels that the last finished round left.
    soft: SoftSet,
    round: Option<LocalRound>,
}

impl LocalClient {
    /// A client with the room's initial adapter.
    ///
    /// `content` is a file of texts: where the room deals out a corpus, the whole of it, of which
    /// the client takes the share of its `shard`; else the client's own texts, gold where they
    /// have a label.
    ///
    /// # Errors
    /// Those of [`Learner::new`] and [`texts::read`], and [`LearnerError::Argument`] for a file
    /// without one usable text.
    pub fn new(
        base: BaseModel,
        settings: &RoomSettings,
        shard: u32,
        content: &[u8],
    ) -> Result<Self> {
        let mut learner = Learner::new(base, &settings.task, &settings.lora)?;
        learner.load(&learner.initial_adapter(settings.seed))?;
        let found = texts::read(content, &settings.task)?;
        let mut skipped: Vec<String> = found.problems.iter().map(describe).collect();
        if found.more_problems > 0 {
            skipped.push(format!("and {} more rows", found.more_problems));
        }
        let texts = match &settings.texts {
            Texts::Corpus { deal, .. } => {
                let labelled: Vec<(&Row, usize)> = found
                    .rows
                    .iter()
                    .filter_map(|row| Some((row, row.label?)))
                    .collect();
                let labels: Vec<usize> = labelled.iter().map(|(_, label)| *label).collect();
                let share = deal.share(&labels, shard, settings.seed)?;
                let encode = |&index: &usize| learner.encode_row(labelled[index].0);
                let gold = share.gold.iter();
                ClientTexts {
                    gold: gold.map(|index| (encode(index), labels[*index])).collect(),
                    unlabelled: share.unlabelled.iter().map(encode).collect(),
                }
            }
            Texts::Own => {
                let mut own = ClientTexts::default();
                for row in &found.rows {
                    let encoded = learner.encode_row(row);
                    match row.label {
                        Some(label) => own.gold.push((encoded, label)),
                        None => own.unlabelled.push(encoded),
                    }
                }
                own
            }
        };
        if texts.gold.is_empty() && texts.unlabelled.is_empty() {
            let got = match skipped.first() {
                Some(first) => format!("none; {first}"),
                None => "none".into(),
            };
            return Err(LearnerError::argument("texts", "at least one", got));
        }
        // The initial adapter changes nothing, so this is the base model's prior, and it stays.
        learner.calibrate(learner.prior(&texts.all())?)?;
        Ok(Self {
            learner,
            settings: settings.clone(),
            shard,
            texts,
            skipped,
            soft: SoftSet::default(),
            round: None,
        })
    }

    /// Gold examples of each label, in the task's order.
    pub fn gold_by_label(&self) -> Vec<u32> {
        let mut counts = vec![0; self.learner.labels()];
        for (_, label) in &self.texts.gold {
            counts[*label] += 1;
        }
        counts
    }

    /// Labelled texts.
    pub fn gold(&self) -> u32 {
        self.texts.gold.len() as u32
    }

    /// Texts without a label of their own.
    pub fn unlabelled(&self) -> u32 {
        self.texts.unlabelled.len() as u32
    }

    /// The rows of the file that were left out and why, for people.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Takes over a global adapter. A round that goes on is not disturbed.
    ///
    /// # Errors
    /// [`LearnerError::Adapter`] when it is not of this model's layout.
    pub fn adopt(&mut self, adapter: &Adapter) -> Result<()> {
        self.learner.load(adapter)
    }

    /// Begins the work of `round` (from 1) from the adapter adopted last; work that has not
    /// finished is given up.
    ///
    /// # Errors
    /// Those of [`LocalRound::new`].
    pub fn begin(&mut self, round: u32) -> Result<()> {
        self.round = None;
        let (learner, soft) = (self.learner.clone(), self.soft.clone());
        let work = LocalRound::new(
            learner,
            &self.settings,
            round,
            self.shard,
            &self.texts,
            soft,
        )?;
        self.round = Some(work);
        Ok(())
    }

    /// Whether a round has begun and not ended.
    pub fn is_working(&self) -> bool {
        self.round.is_some()
    }

    /// Does a piece of work of some tens of milliseconds.
    ///
    /// # Errors
    /// [`LearnerError::Diverged`] when training leaves the range of numbers, and
    /// [`LearnerError::Argument`] when no round has begun. The round is over then.
    pub fn step(&mut self) -> Result<Step> {
        self.go_on(LocalRound::step)
    }

    /// The next piece of the round's work, for so many workers to share: [`LocalRound::job`].
    pub fn job(&self, workers: usize) -> Option<Job> {
        self.round.as_ref()?.job(workers)
    }

    /// What the round's next job is to be done by, and on: its learner and its texts.
    pub fn at_work(&self) -> Option<(&Learner, &[Encoded])> {
        let round = self.round.as_ref()?;
        Some((round.learner()?, round.texts()))
    }

    /// Goes on with what the round's job came to; an error ends the round.
    ///
    /// # Errors
    /// The given one, and those of [`LocalRound::complete`].
    pub fn complete(&mut self, result: Result<JobResult>) -> Result<Step> {
        self.go_on(|round| round.complete(result?))
    }

    fn go_on(&mut self, go_on: impl FnOnce(&mut LocalRound) -> Result<Step>) -> Result<Step> {
        let mut round = self.round.take().ok_or_else(idle)?;
        let step = go_on(&mut round)?;
        match &step {
            Step::Progress(_) => self.round = Some(round),
            Step::Finished(_) => self.soft = round.into_soft(),
        }
        Ok(step)
    }

    /// The learner, with the adapter adopted last.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The client's texts.
    pub fn texts(&self) -> &ClientTexts {
        &self.texts
    }

    /// Gives up the round; soft labels are as before it.
    pub fn cancel(&mut self) {
        self.round = None;
    }

    /// The labelled set as it is now.
    pub fn holding(&self) -> Holding {
        let soft = self.round.as_ref().map_or(&self.soft, LocalRound::soft);
        let labelled = soft.labels().len() as u32;
        Holding {
            gold: self.gold(),
            soft: labelled,
            remaining: self.unlabelled().saturating_sub(labelled),
            confidence: soft.confidence(),
        }
    }

    /// The probability of each label for a text, by the adapter adopted last.
    ///
    /// # Errors
    /// [`LearnerError::Compute`] when a computation fails.
    pub fn classify(&self, text: &str) -> Result<Vec<f32>> {
        let scores = self.learner.scores(&[self.learner.encode(text)])?;
        let scores = scores.first().map(Vec::as_slice).unwrap_or_default();
        Ok(softmax(scores, 1.0))
    }
}

fn idle() -> LearnerError {
    LearnerError::argument("local work", "a round that has begun", "none")
}

fn describe(problem: &texts::Problem) -> String {
    format!("line {}: {}", problem.line, problem.message)
}

#[cfg(test)]
mod tests {
    use fl_core::partition::Deal;
    use fl_core::protocol::Stage;
    use fl_core::soft_labels::{Growth, Relabel};

    use super::*;
    use crate::round::Outcome;
    use crate::testing;

    fn settings() -> RoomSettings {
        let mut settings = RoomSettings {
            task: testing::task(),
            lora: testing::lora(),
            texts: Texts::Corpus {
                corpus: "toy".into(),
                deal: Deal {
                    gold: 4,
                    unlabelled: 12,
                    ..Deal::default()
                },
            },
            ..RoomSettings::default()
        };
        settings.soft_labels.growth = Growth::Fraction { per_round: 0.5 };
        settings
    }

    fn corpus() -> String {
        let mut content = "text,label\n".to_owned();
        for (text, label) in testing::toy_texts(64, 1) {
            let label = ["negative", "positive"][label];
            content.push_str(&format!("{text},{label}\n"));
        }
        content
    }

    fn client(settings: &RoomSettings, content: &str) -> Result<LocalClient> {
        let base = testing::Files::new(testing::Shape::TINY, 1).load()?;
        LocalClient::new(base, settings, 0, content.as_bytes())
    }

    fn finish(client: &mut LocalClient) -> Outcome {
        loop {
            if let Step::Finished(outcome) = client.step().unwrap() {
                return outcome;
            }
        }
    }

    #[test]
    fn a_corpus_is_dealt_and_own_texts_are_kept() {
        let dealt = client(&settings(), &corpus()).unwrap();
        assert_eq!(
            (dealt.gold_by_label(), dealt.unlabelled()),
            (vec![2, 2], 12)
        );
        let own = RoomSettings {
            texts: Texts::Own,
            ..settings()
        };
        let content = "text,label\nwarm food,positive\ncold room,\nbad,worse\n";
        let own = client(&own, content).unwrap();
        assert_eq!((own.gold_by_label(), own.unlabelled()), (vec![0, 1], 1));
        assert_eq!(own.skipped().len(), 1);
        assert!(
            own.skipped()[0].starts_with("line 4: "),
            "{:?}",
            own.skipped()
        );
    }

    #[test]
    fn a_file_without_a_usable_text_is_an_error() {
        let error = client(&settings(), "text,label\nfine,worse\n").unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("at least one, got none; line 2"),
            "{message}"
        );
    }

    #[test]
    fn the_labelled_set_grows_with_finished_rounds() {
        let mut client = client(&settings(), &corpus()).unwrap();
        for (round, soft) in [(1, 0), (2, 6), (3, 12)] {
            client.begin(round).unwrap();
            let outcome = finish(&mut client);
            assert_eq!((outcome.soft, client.holding().soft), (soft, soft));
            assert_eq!(client.holding().remaining, 12 - soft);
            client.adopt(&outcome.adapter).unwrap();
        }
        assert!(!client.is_working());
    }

    #[test]
    fn a_round_given_up_leaves_no_trace() {
        let mut settings = settings();
        settings.soft_labels.relabel = Relabel::Keep;
        let mut client = client(&settings, &corpus()).unwrap();
        let before = client.classify("warm food").unwrap();
        client.begin(2).unwrap();
        while !matches!(client.step().unwrap(), Step::Progress(p) if p.stage == Stage::Training) {}
        assert_eq!(client.holding().soft, 6);
        client.cancel();
        assert_eq!(client.holding().soft, 0);
        assert_eq!(client.classify("warm food").unwrap(), before);
        assert!(client.step().is_err());
        client.begin(2).unwrap();
        let again = finish(&mut client);
        client.cancel();
        let mut other = self::client(&settings, &corpus()).unwrap();
        other.begin(2).unwrap();
        assert_eq!(finish(&mut other), again);
    }

    #[test]
    fn a_sentence_can_be_labelled_during_a_round() {
        let mut client = client(&settings(), &corpus()).unwrap();
        let before = client.classify("warm food").unwrap();
        assert!((before.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        client.begin(1).unwrap();
        client.step().unwrap();
        client.step().unwrap();
        assert_eq!(client.classify("warm food").unwrap(), before);
    }
}
