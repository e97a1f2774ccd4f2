//! The command line of `cargo xtask`.

/// What `cargo xtask help` prints.
pub const HELP: &str = "\
cargo xtask demo [-- FLAGS]   build everything, then `lpfl serve FLAGS`
cargo xtask build             the same without starting: target/release/lpfl
cargo xtask test              every test; installs or names the tools that it needs
    --only NAME               this step alone (repeatable)
    --skip NAME               all but this step (repeatable)
cargo xtask help              this text

Needs rustup and Node.js 20 or newer. Unchanged steps are skipped.";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Print [`HELP`].
    Help,
    /// Build the binary.
    Build,
    /// Build the binary and serve with it.
    Demo {
        /// Passed to `lpfl serve` as they are.
        flags: Vec<String>,
    },
    /// Run the tests.
    Test {
        /// Which of the steps.
        selection: Selection,
    },
}

/// Which steps of `cargo xtask test` are to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// When not empty: these alone.
    pub only: Vec<String>,
    /// Never these.
    pub skip: Vec<String>,
}

impl Selection {
    /// Whether the step of this name runs.
    pub fn takes(&self, name: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|other| other == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// The first name that is not among `known`.
    pub fn first_unknown(&self, known: &[&str]) -> Option<&str> {
        self.only
            .iter()
            .chain(&self.skip)
            .map(String::as_str)
            .find(|name| !known.contains(name))
    }
}

/// Reads the arguments after the program's name; the error is one line for people.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut arguments = arguments;
    let task = arguments.next().unwrap_or_else(|| "help".to_owned());
    match task.as_str() {
        "help" | "--help" | "-h" => nothing_more(arguments, Task::Help),
        "build" => nothing_more(arguments, Task::Build),
        "demo" => {
            let mut flags: Vec<String> = arguments.collect();
            // `cargo xtask demo -- --listen …` hands the dashes on.
            if flags.first().is_some_and(|first| first == "--") {
                flags.remove(0);
            }
            Ok(Task::Demo { flags })
        }
        "test" => Ok(Task::Test {
            selection: parse_selection(arguments)?,
        }),
        other => Err(format!("unknown command `{other}`")),
    }
}

fn nothing_more(mut arguments: impl Iterator<Item = String>, task: Task) -> Result<Task, String> {
    match arguments.next() {
        None => Ok(task),
        Some(extra) => Err(format!("unexpected argument `{extra}`")),
    }
}

fn parse_selection(mut arguments: impl Iterator<Item = String>) -> Result<Selection, String> {
    let mut selection = Selection::default();
    while let Some(flag) = arguments.next() {
        let names = match flag.as_str() {
            "--only" => &mut selection.only,
            "--skip" => &mut selection.skip,
            other => return Err(format!("unexpected argument `{other}`")),
        };
        names.push(
            arguments
                .next()
                .ok_or_else(|| format!("`{flag}` needs the name of a step"))?,
        );
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn demo_passes_flags_on() {
        let flags = vec!["--listen".to_owned(), "0.0.0.0:80".to_owned()];
        let expected = Ok(Task::Demo { flags });
        assert_eq!(parsed("demo -- --listen 0.0.0.0:80"), expected);
        assert_eq!(parsed("demo --listen 0.0.0.0:80"), expected);
    }

    #[test]
    fn selection_takes_only_and_skips() {
        let Ok(Task::Test { selection }) = parsed("test --only fmt --only clippy --skip clippy")
        else {
            panic!("not read as a test task");
        };
        assert!(selection.takes("fmt"));
        assert!(!selection.takes("clippy"));
        assert!(!selection.takes("native"));
        assert_eq!(selection.first_unknown(&["fmt"]), Some("clippy"));
        assert!(Selection::default().takes("native"));
    }

    #[test]
    fn errors_name_the_argument() {
        assert_eq!(parsed("tset"), Err("unknown command `tset`".to_owned()));
        assert_eq!(
            parsed("build now"),
            Err("unexpected argument `now`".to_owned())
        );
        assert_eq!(
            parsed("test --only"),
            Err("`--only` needs the name of a step".to_owned())
        );
    }
}
