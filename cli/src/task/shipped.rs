//! The tasks that come with this program, by the names that stand for their files.

/// Name and text of each.
pub const TASKS: [(&str, &str); 6] = [
    ("reviews", include_str!("../../../tasks/reviews.toml")),
    ("ratings", include_str!("../../../tasks/ratings.toml")),
    ("stars", include_str!("../../../tasks/stars.toml")),
    ("news", include_str!("../../../tasks/news.toml")),
    (
        "subjectivity",
        include_str!("../../../tasks/subjectivity.toml"),
    ),
    ("questions", include_str!("../../../tasks/questions.toml")),
];

/// The text of the task of this name.
pub fn find(name: &str) -> Option<&'static str> {
    let found = TASKS.iter().find(|(shipped, _)| *shipped == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fl_core::task::Task;
    use learner::{BaseModel, Learner};

    use super::*;
    use crate::task::file::TaskFile;

    fn task(name: &str) -> Task {
        let text = find(name).unwrap();
        TaskFile::parse(name, text.as_bytes()).unwrap().task
    }

    #[test]
    fn the_presets_of_rooms_are_these_files() {
        assert_eq!(task("reviews"), Task::reviews());
        assert_eq!(task("news"), Task::news());
    }

    #[test]
    fn every_word_is_one_token_of_the_default_model() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
        let read = |file| std::fs::read(folder.join(file)).unwrap();
        let base = BaseModel::from_bytes(
            &read("config.json"),
            &read("tokenizer.json"),
            &read("model.safetensors"),
        );
        let base = base.unwrap();
        for (name, _) in TASKS {
            let learner = Learner::new(base.clone(), &task(name), &Default::default());
            assert!(learner.is_ok(), "{name}: {}", learner.unwrap_err());
        }
    }
}
