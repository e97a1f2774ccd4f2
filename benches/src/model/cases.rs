//! Which sets are measured, by which task, with how many labels.

use anyhow::{Context as _, Result, bail};
use fl_core::task::{Calibration, Task};

use super::federation;

/// One way to use the model on a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Without a label.
    ZeroShot,
    /// LoRA on gold labels alone, one round by a room's default settings.
    Lora {
        /// Gold labels.
        labels: u32,
    },
    /// All rounds of a room for one, with soft labels, by the default settings.
    Room {
        /// Gold labels.
        labels: u32,
    },
    /// LoRA against all parameters, each with the settings that a validation split prefers.
    Tuned {
        /// Gold labels.
        labels: u32,
    },
}

/// A data set and what is measured on it.
#[derive(Debug)]
pub struct Set {
    /// Its name, and that of its archive.
    pub name: &'static str,
    /// The task, with its calibration.
    pub task: Task,
    /// The file of its validation split; without one, a part of the training texts.
    pub validation: Option<&'static str>,
    /// Most validation texts.
    pub validation_texts: usize,
    /// The measurements.
    pub cases: Vec<Case>,
}

const VALIDATION_TEXTS: usize = 400;

/// All sets.
///
/// # Errors
/// A shipped task that cannot be read.
pub fn sets() -> Result<Vec<Set>> {
    let opinions = || task("ratings", Calibration::Unlabelled);
    let set = |name, task: Task, cases: &[Case]| Set {
        name,
        task,
        validation: None,
        validation_texts: VALIDATION_TEXTS,
        cases: cases.to_vec(),
    };
    let lora = |labels| Case::Lora { labels };
    let sentiment = [
        Case::ZeroShot,
        lora(32),
        Case::Room { labels: 32 },
        lora(128),
        Case::Tuned { labels: 32 },
    ];
    Ok(vec![
        Set {
            validation: Some("dev.csv"),
            ..set("sst2", opinions()?, &sentiment)
        },
        Set {
            task: Task {
                max_tokens: 256,
                ..opinions()?
            },
            ..set("imdb", opinions()?, &sentiment)
        },
        set(
            "mr",
            opinions()?,
            &[Case::ZeroShot, lora(32), Case::Room { labels: 32 }],
        ),
        set(
            "agnews",
            task("news", Calibration::Unlabelled)?,
            &[Case::ZeroShot, lora(64)],
        ),
        set(
            "yelp5",
            Task {
                max_tokens: 256,
                ..task("stars", Calibration::None)?
            },
            &[Case::ZeroShot, lora(160)],
        ),
        set(
            "trec",
            task("questions", Calibration::Unlabelled)?,
            &[Case::ZeroShot, lora(96)],
        ),
    ])
}

fn task(name: &str, calibration: Calibration) -> Result<Task> {
    let text = match name {
        "news" => include_str!("../../../tasks/news.toml"),
        "ratings" => include_str!("../../../tasks/ratings.toml"),
        "questions" => include_str!("../../../tasks/questions.toml"),
        "stars" => include_str!("../../../tasks/stars.toml"),
        _ => include_str!("../../../tasks/reviews.toml"),
    };
    let task: Task = toml::from_str(text).with_context(|| format!("tasks/{name}.toml"))?;
    Ok(Task {
        calibration,
        ..task
    })
}

/// Refuses names that no set has.
///
/// # Errors
/// The first such name, with those that there are.
pub fn check_names(wanted: &[String]) -> Result<()> {
    let sets = sets()?;
    let known: Vec<&str> = sets
        .iter()
        .map(|set| set.name)
        .chain([federation::SET])
        .collect();
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("no set is called {name}: there are {}", known.join(", ")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_passes_its_check() {
        for set in sets().unwrap() {
            set.task.check().unwrap();
        }
    }

    #[test]
    fn unknown_set_is_named() {
        let error = check_names(&["sst3".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("sst3") && error.contains("sst2"), "{error}");
    }
}
