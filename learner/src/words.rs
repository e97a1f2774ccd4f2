//! Words that would stand for a task's labels well, found from labelled texts.
//!
//! The idea is PETAL's (Schick, Schmid and Schütze 2020, arXiv 2010.13641): among the words that
//! the model thinks likely at the mask, take those whose likelihood differs most between a label's
//! texts and the others'.

use fl_core::settings::LoraSettings;
use fl_core::task::Task;
use serde::Serialize;

use crate::error::LearnerError;
use crate::evaluation::log_sum_exp;
use crate::learner::Learner;
use crate::model::BaseModel;
use crate::prompt::Encoded;
use crate::texts::Row;
use crate::tokenize::Vocabulary;
use crate::{Result, verbalizer};

/// Words that are looked at: the most likely ones, since a rare word can separate a few texts by
/// chance.
const CANDIDATES: usize = 1000;

/// Added to a spread, in nats, so that a word that hardly moves has no large separation.
const LEAST_SPREAD: f64 = 0.05;

/// A word for a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The word, one token of the vocabulary.
    pub word: String,
    /// How much likelier it is at the mask of the label's texts than of the others: the difference
    /// of the mean log-probabilities in units of the spread within the two groups (Cohen's d).
    pub separation: f32,
    /// Geometric mean of its probability at the mask over all texts, among the whole words.
    pub probability: f32,
}

/// Adds up, text by text, how likely every whole word of the vocabulary is at the mask.
#[derive(Debug)]
pub struct WordSearch {
    learner: Learner,
    words: Vec<String>,
    sums: Vec<Sums>,
}

/// Over the texts of one label, per word: log-probabilities and their squares.
#[derive(Clone, Debug)]
struct Sums {
    texts: usize,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl WordSearch {
    /// A search with the task's patterns; its label words may be any.
    ///
    /// # Errors
    /// A task out of its range, a pattern that leaves no room for text, or a vocabulary without a
    /// whole word.
    pub fn new(base: &BaseModel, task: &Task) -> Result<Self> {
        let (ids, words) = whole_words(base.vocabulary());
        let Some(word) = words.first() else {
            let expected = "at least one token that is a whole word";
            return Err(LearnerError::argument("vocabulary", expected, "none"));
        };
        // Prompts are all that is asked of this learner; its label words do not matter.
        let mut task = task.clone();
        for label in &mut task.labels {
            label.words = vec![word.clone()];
        }
        let lora = LoraSettings {
            rank: 1,
            ..LoraSettings::default()
        };
        let sums = Sums {
            texts: 0,
            sum: vec![0.0; words.len()],
            squares: vec![0.0; words.len()],
        };
        Ok(Self {
            learner: Learner::new(base.clone(), &task, &lora)?.asking(ids),
            sums: vec![sums; task.labels.len()],
            words,
        })
    }

    /// The text or the two texts of a row in the task's patterns.
    pub fn encode_row(&self, row: &Row) -> Encoded {
        self.learner.encode_row(row)
    }

    /// Adds labelled texts.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for a label that the task does not have,
    /// [`LearnerError::Compute`] when a computation fails.
    pub fn add(&mut self, texts: &[Encoded], labels: &[usize]) -> Result<()> {
        let logits = self.learner.raw_scores(texts)?;
        for (logits, &label) in logits.iter().zip(labels) {
            let count = self.sums.len();
            let sums = self
                .sums
                .get_mut(label)
                .ok_or_else(|| LearnerError::argument("label", format!("below {count}"), label))?;
            let total = log_sum_exp(logits);
            sums.texts += 1;
            for (word, logit) in logits.iter().enumerate() {
                let value = f64::from(logit - total);
                sums.sum[word] += value;
                sums.squares[word] += value * value;
            }
        }
        Ok(())
    }

    /// The best `count` words of each label, in the task's order: by separation, ties by
    /// probability. None for a label without texts, or when no other label has one.
    pub fn proposals(&self, count: usize) -> Vec<Vec<Proposal>> {
        let candidates = self.candidates();
        (0..self.sums.len())
            .map(|label| {
                let mut found: Vec<Proposal> = candidates
                    .iter()
                    .filter_map(|&word| self.proposal(label, word))
                    .collect();
                found.sort_by(|a, b| {
                    let by_separation = b.separation.total_cmp(&a.separation);
                    by_separation.then(b.probability.total_cmp(&a.probability))
                });
                found.truncate(count);
                found
            })
            .collect()
    }

    /// The likeliest words over all texts.
    fn candidates(&self) -> Vec<usize> {
        let total = |word: usize| self.sums.iter().map(|sums| sums.sum[word]).sum::<f64>();
        let mut words: Vec<(f64, usize)> = (0..self.words.len()).map(|w| (total(w), w)).collect();
        words.sort_by(|a, b| b.0.total_cmp(&a.0));
        words.truncate(CANDIDATES);
        words.into_iter().map(|(_, word)| word).collect()
    }

    fn proposal(&self, label: usize, word: usize) -> Option<Proposal> {
        let own = Moments::of(&[&self.sums[label]], word)?;
        let others = self.sums.iter().enumerate();
        let others: Vec<&Sums> = others
            .filter(|(l, _)| *l != label)
            .map(|(_, s)| s)
            .collect();
        let others = Moments::of(&others, word)?;
        let texts = own.texts + others.texts;
        let mean = (own.mean * own.texts + others.mean * others.texts) / texts;
        let spread = ((own.scatter + others.scatter) / (texts - 2.0).max(1.0)).sqrt();
        Some(Proposal {
            word: self.words[word].clone(),
            separation: ((own.mean - others.mean) / (spread + LEAST_SPREAD)) as f32,
            probability: mean.exp() as f32,
        })
    }
}

/// Of one word over a group of texts.
struct Moments {
    texts: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    scatter: f64,
}

impl Moments {
    fn of(groups: &[&Sums], word: usize) -> Option<Self> {
        let texts = groups.iter().map(|sums| sums.texts).sum::<usize>() as f64;
        let sum: f64 = groups.iter().map(|sums| sums.sum[word]).sum();
        let squares: f64 = groups.iter().map(|sums| sums.squares[word]).sum();
        let scatter = (squares - sum * sum / texts).max(0.0);
        (texts > 0.0).then(|| Self {
            texts,
            mean: sum / texts,
            scatter,
        })
    }
}

/// The tokens that are words by themselves, each in a list of its own as the decoder wants them:
/// of at least two letters, and spelled so that a label could name them.
fn whole_words(vocabulary: &Vocabulary) -> (Vec<Vec<u32>>, Vec<String>) {
    let words = vocabulary.entries().into_iter().filter_map(|(id, token)| {
        // Byte-level vocabularies and SentencePiece mark a blank in front of a word.
        let word = token.trim_start_matches(['Ġ', '▁']);
        let letters = word.chars().all(char::is_alphabetic) && word.chars().count() > 1;
        let itself = letters && verbalizer::single_token(vocabulary, word, true) == Ok(id);
        itself.then(|| (vec![id], word.to_owned()))
    });
    words.unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Files, Shape, toy_texts};

    fn search() -> WordSearch {
        let base = Files::new(Shape::TINY, 1).load().unwrap();
        WordSearch::new(&base, &testing::task()).unwrap()
    }

    #[test]
    fn only_whole_words_are_looked_at() {
        let search = search();
        let has = |word: &str| search.words.iter().any(|other| other == word);
        assert!(has("great") && has("film"));
        for other in ["[MASK]", "MASK", "##s", "s", ".", "b"] {
            assert!(!has(other), "{other}");
        }
    }

    #[test]
    fn words_that_separate_come_first() {
        let mut search = search();
        let texts = toy_texts(60, 1);
        let encoded: Vec<Encoded> = texts
            .iter()
            .map(|(text, _)| search.learner.encode(text))
            .collect();
        let labels: Vec<usize> = texts.iter().map(|(_, label)| *label).collect();
        search.add(&encoded, &labels).unwrap();
        let proposals = search.proposals(5);
        for label in &proposals {
            assert_eq!(label.len(), 5);
            assert!(label[0].separation > 0.0);
            assert!(label.windows(2).all(|w| w[0].separation >= w[1].separation));
            assert!(
                label
                    .iter()
                    .all(|p| p.probability > 0.0 && p.probability < 1.0)
            );
        }
        // Of two labels, what speaks for one speaks against the other.
        let last = search.proposals(usize::MAX);
        assert_eq!(last[0][0].word, last[1].last().unwrap().word);
        // The same by hand, for the first proposal.
        let best = &proposals[0][0];
        let word = search.words.iter().position(|w| *w == best.word).unwrap();
        let logits = search.learner.raw_scores(&encoded).unwrap();
        let value = |row: &Vec<f32>| f64::from(row[word] - log_sum_exp(row));
        let of = |label: usize| -> Vec<f64> {
            let rows = logits.iter().zip(&labels).filter(|(_, l)| **l == label);
            rows.map(|(row, _)| value(row)).collect()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let scatter = |values: &[f64]| {
            let mean = mean(values);
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
        };
        let (own, others) = (of(0), of(1));
        let spread = ((scatter(&own) + scatter(&others)) / 58.0).sqrt();
        let expected = (mean(&own) - mean(&others)) / (spread + LEAST_SPREAD);
        assert!((f64::from(best.separation) - expected).abs() < 1e-3);
    }

    #[test]
    fn a_label_without_texts_gets_no_proposal() {
        let mut search = search();
        assert!(search.proposals(3).iter().all(Vec::is_empty));
        let text = search.learner.encode("warm food");
        search.add(std::slice::from_ref(&text), &[1]).unwrap();
        assert!(search.proposals(3).iter().all(Vec::is_empty));
        assert!(search.add(&[text], &[2]).is_err());
    }
}
