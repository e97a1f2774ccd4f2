//! What a worker and its helper say to each other: jobs and results as 32-bit words, floats by their
//! bits, so that a message is one buffer that browsers hand over without a copy.

use fl_core::adapter::{Adapter, AdapterLayout, Matrix};
use learner::{Batch, BatchRow, Gradient, Job, JobResult, Noise, Place};

/// Stands in place of a length where nothing follows.
const ABSENT: u32 = u32::MAX;

/// First word of a job or a result.
const SCORES: u32 = 1;
const GRADIENT: u32 = 2;
/// First word of an answer.
const READY: u32 = 3;
const DONE: u32 = 4;
const FAILED: u32 = 5;

/// Why words are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message between workers: expected {expected}, got {got}")]
pub struct WireError {
    expected: String,
    got: String,
}

/// A part of a job for a helper.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Comes back in the answer.
    pub number: u32,
    /// The adapter's values in the order of its layout, unless it is that of the ask before.
    pub adapter: Option<Vec<f32>>,
    /// The part.
    pub job: Job,
}

/// What a helper says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It has its model and texts.
    Ready,
    /// The result of the ask with this number.
    Done(u32, JobResult),
    /// The ask with this number came to nothing.
    Failed(u32),
}

/// What an answer is about, which its first words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Answer::Ready`]
    Ready,
    /// [`Answer::Done`] or [`Answer::Failed`] of this ask.
    Of(u32),
}

impl Ask {
    /// The message's words.
    pub fn encode(&self) -> Vec<u32> {
        let mut words = vec![self.number];
        match &self.adapter {
            Some(values) => put_floats(&mut words, values),
            None => words.push(ABSENT),
        }
        match &self.job {
            Job::Scores(texts) => {
                words.extend([SCORES, texts.len() as u32]);
                words.extend(texts);
            }
            Job::Gradient(Batch { rows, noise }) => {
                let index = [(noise.index >> 32) as u32, noise.index as u32];
                words.extend([GRADIENT, noise.seed, index[0], index[1], noise.step]);
                words.push(rows.len() as u32);
                for row in rows {
                    let weight = row.weight.to_bits();
                    words.extend([row.text, row.place.token, row.place.prompt, weight]);
                    put_floats(&mut words, &row.target);
                }
            }
        }
        words
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`WireError`] for words that are none.
    pub fn decode(words: &[u32]) -> Result<Self, WireError> {
        let mut reader = Reader(words);
        let number = reader.word()?;
        let adapter = match reader.0.first() {
            Some(&ABSENT) => {
                reader.word()?;
                None
            }
            _ => Some(reader.floats()?),
        };
        let job = match reader.word()? {
            SCORES => {
                let count = reader.word()?;
                Job::Scores(reader.take(count)?.to_vec())
            }
            GRADIENT => Job::Gradient(reader.batch()?),
            other => return Err(wrong("a kind of job", other)),
        };
        reader.end()?;
        Ok(Self {
            number,
            adapter,
            job,
        })
    }
}

impl Answer {
    /// The message's words.
    pub fn encode(&self) -> Vec<u32> {
        match self {
            Self::Ready => vec![READY],
            Self::Failed(number) => vec![FAILED, *number],
            Self::Done(number, JobResult::Scores(scores)) => {
                let mut words = vec![DONE, *number, SCORES, scores.len() as u32];
                for scores in scores {
                    put_floats(&mut words, scores);
                }
                words
            }
            Self::Done(number, JobResult::Gradient(gradient)) => {
                let scalars = [gradient.loss.to_bits(), gradient.weight.to_bits()];
                let mut words = vec![DONE, *number, GRADIENT, scalars[0], scalars[1]];
                put_floats(&mut words, &values(&gradient.matrices));
                words
            }
        }
    }

    /// What the answer is about, without a look at the rest.
    ///
    /// # Errors
    /// [`WireError`] for words that are no answer.
    pub fn kind(words: &[u32]) -> Result<Kind, WireError> {
        match words {
            [READY] => Ok(Kind::Ready),
            [DONE | FAILED, number, ..] => Ok(Kind::Of(*number)),
            _ => Err(wrong("an answer", words.first().copied().unwrap_or(0))),
        }
    }

    /// Reads it; gradients have this layout.
    ///
    /// # Errors
    /// [`WireError`] for words that are no answer.
    pub fn decode(words: &[u32], layout: &AdapterLayout) -> Result<Self, WireError> {
        let mut reader = Reader(words);
        let answer = match reader.word()? {
            READY => Self::Ready,
            FAILED => Self::Failed(reader.word()?),
            DONE => Self::Done(reader.word()?, reader.result(layout)?),
            other => return Err(wrong("an answer", other)),
        };
        reader.end()?;
        Ok(answer)
    }
}

/// The adapter's values, matrix after matrix in the order of their names.
pub fn values(adapter: &Adapter) -> Vec<f32> {
    let count = adapter.matrices.values().map(|m| m.values.len()).sum();
    let mut values = Vec::with_capacity(count);
    for matrix in adapter.matrices.values() {
        values.extend_from_slice(&matrix.values);
    }
    values
}

/// The adapter of this layout with these values.
///
/// # Errors
/// [`WireError`] for another number of values than the layout has.
pub fn adapter(layout: &AdapterLayout, values: &[f32]) -> Result<Adapter, WireError> {
    if values.len() != layout.parameters() {
        let expected = format!("{} values", layout.parameters());
        return Err(wrong(expected, values.len()));
    }
    let mut rest = values;
    let matrix = |(name, &(rows, columns)): (&String, &(usize, usize))| {
        let (values, later) = rest.split_at(rows * columns);
        rest = later;
        let matrix = Matrix {
            rows,
            columns,
            values: values.to_vec(),
        };
        (name.clone(), matrix)
    };
    Ok(Adapter {
        matrices: layout.shapes.iter().map(matrix).collect(),
    })
}

fn put_floats(words: &mut Vec<u32>, floats: &[f32]) {
    words.push(floats.len() as u32);
    words.extend(floats.iter().map(|float| float.to_bits()));
}

fn wrong(expected: impl ToString, got: impl ToString) -> WireError {
    WireError {
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// The words that are still to be read.
struct Reader<'a>(&'a [u32]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u32) -> Result<&'a [u32], WireError> {
        let Some((words, rest)) = self.0.split_at_checked(count as usize) else {
            return Err(wrong(format!("{count} more words"), self.0.len()));
        };
        self.0 = rest;
        Ok(words)
    }

    fn word(&mut self) -> Result<u32, WireError> {
        Ok(self.take(1)?[0])
    }

    fn floats(&mut self) -> Result<Vec<f32>, WireError> {
        let count = self.word()?;
        let floats = self.take(count)?.iter();
        Ok(floats.map(|word| f32::from_bits(*word)).collect())
    }

    /// As many as `read` reads; none is allotted before its words are seen.
    fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let mut list = Vec::new();
        for _ in 0..self.word()? {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn batch(&mut self) -> Result<Batch, WireError> {
        let seed = self.word()?;
        let index = u64::from(self.word()?) << 32 | u64::from(self.word()?);
        let step = self.word()?;
        let row = |reader: &mut Self| {
            let text = reader.word()?;
            let (token, prompt) = (reader.word()?, reader.word()?);
            let weight = f32::from_bits(reader.word()?);
            Ok(BatchRow {
                text,
                target: reader.floats()?,
                weight,
                place: Place { token, prompt },
            })
        };
        Ok(Batch {
            rows: self.list(row)?,
            noise: Noise { seed, index, step },
        })
    }

    fn result(&mut self, layout: &AdapterLayout) -> Result<JobResult, WireError> {
        match self.word()? {
            SCORES => Ok(JobResult::Scores(self.list(Self::floats)?)),
            GRADIENT => Ok(JobResult::Gradient(Gradient {
                loss: f32::from_bits(self.word()?),
                weight: f32::from_bits(self.word()?),
                matrices: adapter(layout, &self.floats()?)?,
            })),
            other => Err(wrong("a kind of result", other)),
        }
    }

    fn end(&self) -> Result<(), WireError> {
        match self.0 {
            [] => Ok(()),
            rest => Err(wrong(
                "the message's end",
                format!("{} more words", rest.len()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks() -> [Ask; 2] {
        let row = |text| BatchRow {
            text,
            target: vec![0.25, 0.75],
            weight: 0.5,
            place: Place {
                token: 31,
                prompt: 2,
            },
        };
        let noise = Noise {
            seed: 1,
            index: 7 << 32 | 9,
            step: 3,
        };
        [
            Ask {
                number: 4,
                adapter: Some(vec![1.5, -0.0]),
                job: Job::Scores(vec![3, 1, 2]),
            },
            Ask {
                number: u32::MAX,
                adapter: None,
                job: Job::Gradient(Batch {
                    rows: vec![row(5), row(0)],
                    noise,
                }),
            },
        ]
    }

    fn layout() -> AdapterLayout {
        let shapes = [("a", (1, 2)), ("b", (2, 1))];
        AdapterLayout {
            shapes: shapes.map(|(name, shape)| (name.to_owned(), shape)).into(),
        }
    }

    fn answers() -> [Answer; 4] {
        let matrices = adapter(&layout(), &[1.0, 2.0, 3.0, f32::INFINITY]).unwrap();
        let gradient = Gradient {
            loss: 0.5,
            weight: 2.5,
            matrices,
        };
        [
            Answer::Ready,
            Answer::Failed(3),
            Answer::Done(1, JobResult::Scores(vec![vec![0.5, 0.25], vec![]])),
            Answer::Done(2, JobResult::Gradient(gradient)),
        ]
    }

    #[test]
    fn messages_come_back_whole() {
        for ask in asks() {
            assert_eq!(Ask::decode(&ask.encode()).unwrap(), ask);
        }
        for answer in answers() {
            let words = answer.encode();
            assert_eq!(Answer::decode(&words, &layout()).unwrap(), answer);
            let kind = match answer {
                Answer::Ready => Kind::Ready,
                Answer::Done(number, _) | Answer::Failed(number) => Kind::Of(number),
            };
            assert_eq!(Answer::kind(&words).unwrap(), kind);
        }
    }

    #[test]
    fn words_that_are_no_message_are_errors() {
        for ask in asks().map(|ask| ask.encode()) {
            for end in 0..ask.len() {
                assert!(Ask::decode(&ask[..end]).is_err(), "{end} of {ask:?}");
            }
            assert!(Ask::decode(&[&ask[..], &[0]].concat()).is_err());
        }
        for answer in answers().map(|answer| answer.encode()) {
            for end in 0..answer.len() {
                assert!(Answer::decode(&answer[..end], &layout()).is_err());
            }
            let longer = [&answer[..], &[0]].concat();
            assert!(Answer::decode(&longer, &layout()).is_err());
        }
        assert!(Answer::kind(&[]).is_err() && Answer::kind(&[9, 1]).is_err());
        // A count out of proportion ends at the words that are there.
        assert!(Ask::decode(&[1, ABSENT, GRADIENT, 0, 0, 0, 0, u32::MAX]).is_err());
        let other = AdapterLayout::default();
        assert!(Answer::decode(&answers()[3].encode(), &other).is_err());
    }
}
