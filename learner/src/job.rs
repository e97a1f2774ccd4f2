//! Pieces of a round's work as data, so that several workers with the same texts can share them.

use fl_core::adapter::{Adapter, Matrix};

use crate::Result;
use crate::dropout::{Noise, Place};
use crate::error::LearnerError;
use crate::learner::Learner;
use crate::prompt::Encoded;
use crate::trainer::{Example, Gradient};

/// A piece of work on texts that every worker holds, named by their positions
/// ([`ClientTexts::all`](crate::ClientTexts::all)).
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// The label scores of these texts: [`Learner::scores`].
    Scores(Vec<u32>),
    /// The gradient of a training step: [`Learner::training_gradient`].
    Gradient(Batch),
}

/// The examples of a training step, or a part of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The examples.
    pub rows: Vec<BatchRow>,
    /// Dropout's random numbers, which do not depend on how the batch is split.
    pub noise: Noise,
}

/// One example of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRow {
    /// The text's position.
    pub text: u32,
    /// Probability of each label, in the task's order.
    pub target: Vec<f32>,
    /// Weight of this example's loss against the others'.
    pub weight: f32,
    /// Where the text begins in the whole batch.
    pub place: Place,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq)]
pub enum JobResult {
    /// For each text of [`Job::Scores`] the score of each label.
    Scores(Vec<Vec<f32>>),
    /// The gradient, by the adapter that the learner has loaded.
    Gradient(Gradient),
}

/// A job in parts for several workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The parts, none of them empty unless the whole is; the first is the lightest.
    pub parts: Vec<Job>,
    /// Of each part, the places of its items in the whole.
    places: Vec<Vec<usize>>,
}

impl Job {
    /// At most `workers` parts with about as many tokens each, and the same order in each part.
    pub fn split(&self, texts: &[Encoded], workers: usize) -> Split {
        let tokens = |&text: &u32| texts.get(text as usize).map_or(0, Encoded::tokens);
        let tokens: Vec<usize> = match self {
            Self::Scores(texts) => texts.iter().map(tokens).collect(),
            Self::Gradient(batch) => batch.rows.iter().map(|row| tokens(&row.text)).collect(),
        };
        let places = balanced(&tokens, workers);
        let parts = match self {
            _ if places.len() < 2 => vec![self.clone()],
            Self::Scores(texts) => {
                let part = |places: &Vec<usize>| Self::Scores(pick(texts, places));
                places.iter().map(part).collect()
            }
            Self::Gradient(Batch { rows, noise }) => {
                let noise = *noise;
                let part = |places: &Vec<usize>| {
                    let rows = pick(rows, places);
                    Self::Gradient(Batch { rows, noise })
                };
                places.iter().map(part).collect()
            }
        };
        Split { parts, places }
    }
}

impl Split {
    /// The whole's result from its parts', in their order.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for results that are not of these parts.
    pub fn join(self, results: Vec<JobResult>) -> Result<JobResult> {
        let got = results.len();
        if got != self.parts.len() {
            return Err(LearnerError::argument("results", self.parts.len(), got));
        }
        match self.parts.first() {
            Some(Job::Scores(_)) => join_scores(&self.places, results).map(JobResult::Scores),
            Some(Job::Gradient(_)) => {
                let gradients = results.into_iter().map(JobResult::into_gradient);
                mean(gradients.collect::<Result<_>>()?).map(JobResult::Gradient)
            }
            None => Err(LearnerError::argument("parts", "at least one", 0)),
        }
    }
}

impl JobResult {
    pub(crate) fn into_scores(self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Scores(scores) => Ok(scores),
            Self::Gradient(_) => Err(LearnerError::argument(
                "a job's result",
                "scores",
                "a gradient",
            )),
        }
    }

    pub(crate) fn into_gradient(self) -> Result<Gradient> {
        match self {
            Self::Gradient(gradient) => Ok(gradient),
            Self::Scores(_) => Err(LearnerError::argument(
                "a job's result",
                "a gradient",
                "scores",
            )),
        }
    }
}

impl Learner {
    /// Does a job on `texts`, by the adapter that is loaded.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for a text that is not there, and those of
    /// [`Learner::scores`] and [`Learner::training_gradient`].
    pub fn run(&self, texts: &[Encoded], job: &Job) -> Result<JobResult> {
        let text = |text: u32| {
            let expected = || format!("below {}", texts.len());
            let found = texts.get(text as usize).cloned();
            found.ok_or_else(|| LearnerError::argument("text", expected(), text))
        };
        match job {
            // Without a look at the model, which would be made ready for nothing.
            Job::Scores(asked) if asked.is_empty() => Ok(JobResult::Scores(Vec::new())),
            Job::Scores(asked) => {
                let asked: Vec<Encoded> = asked.iter().map(|&i| text(i)).collect::<Result<_>>()?;
                self.scores(&asked).map(JobResult::Scores)
            }
            Job::Gradient(Batch { rows, noise }) => {
                let example = |row: &BatchRow| -> Result<Example> {
                    Ok(Example {
                        encoded: text(row.text)?,
                        target: row.target.clone(),
                        weight: row.weight,
                    })
                };
                let part: Vec<Example> = rows.iter().map(example).collect::<Result<_>>()?;
                let places: Vec<Place> = rows.iter().map(|row| row.place).collect();
                let gradient = self.part_gradient(&part, *noise, &places)?;
                Ok(JobResult::Gradient(gradient))
            }
        }
    }
}

/// Places of the weights in at most `parts` groups, by longest processing time first (Graham
/// 1969): the heaviest goes to whom has least so far.
fn balanced(weights: &[usize], parts: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(weights[place]));
    let count = parts.min(weights.len()).max(1);
    let mut groups = vec![(0, Vec::new()); count];
    for place in order {
        // Groups without anything come first, so that none is left empty.
        let least = groups
            .iter_mut()
            .min_by_key(|(sum, group)| (*sum, group.len()));
        if let Some((sum, group)) = least {
            *sum += weights[place];
            group.push(place);
        }
    }
    groups.sort_by_key(|(sum, _)| *sum);
    let sorted = |(_, mut group): (usize, Vec<usize>)| {
        group.sort_unstable();
        group
    };
    groups.into_iter().map(sorted).collect()
}

fn pick<T: Clone>(all: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&place| all[place].clone()).collect()
}

fn join_scores(places: &[Vec<usize>], results: Vec<JobResult>) -> Result<Vec<Vec<f32>>> {
    let mut all = vec![Vec::new(); places.iter().map(Vec::len).sum()];
    for (places, result) in places.iter().zip(results) {
        let scores = result.into_scores()?;
        if scores.len() != places.len() {
            let got = scores.len();
            return Err(LearnerError::argument("scored texts", places.len(), got));
        }
        for (&place, scores) in places.iter().zip(scores) {
            all[place] = scores;
        }
    }
    Ok(all)
}

/// The gradient of the parts' whole: each counts by its examples' weights.
fn mean(parts: Vec<Gradient>) -> Result<Gradient> {
    let weight: f32 = parts.iter().map(|part| part.weight).sum();
    let mut parts = parts.into_iter();
    let Some(mut mean) = parts.next() else {
        return Err(LearnerError::argument("gradients", "at least one", 0));
    };
    if parts.len() == 0 {
        return Ok(mean);
    }
    let share = |part: &Gradient| part.weight / weight.max(f32::MIN_POSITIVE);
    let first = share(&mean);
    mean.loss *= first;
    let values = mean.matrices.matrices.values_mut();
    values
        .flat_map(|matrix| &mut matrix.values)
        .for_each(|value| *value *= first);
    for part in parts {
        let share = share(&part);
        mean.loss += share * part.loss;
        add(&mut mean.matrices, share, &part.matrices)?;
    }
    mean.weight = weight;
    Ok(mean)
}

/// sum += share · part
fn add(sum: &mut Adapter, share: f32, part: &Adapter) -> Result<()> {
    let same = |(one, other): (&Matrix, &Matrix)| one.values.len() == other.values.len();
    let (sums, parts) = (&sum.matrices, &part.matrices);
    if !sums.keys().eq(parts.keys()) || !sums.values().zip(parts.values()).all(same) {
        let (expected, got) = ("the first part's layout", "another one");
        return Err(LearnerError::argument("gradient", expected, got));
    }
    for (sum, part) in sum.matrices.values_mut().zip(part.matrices.values()) {
        let values = sum.values.iter_mut().zip(&part.values);
        values.for_each(|(sum, value)| *sum += share * value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
