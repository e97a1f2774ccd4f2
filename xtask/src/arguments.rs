//! The command line of `cargo xtask`.

/// What `cargo xtask help` prints.
pub const HELP: &str = "\
cargo xtask demo [-- FLAGS]   build everything, then `lpfl serve FLAGS`
cargo xtask build             the same without starting: target/release/lpfl
cargo xtask test              every test; installs or names the tools that it needs
    --only NAME               this step alone (repeatable)
    --skip NAME               all but this step (repeatable)
cargo xtask chaos             a federation whose server and clients are killed, in the tests' short form
    --long                    200 clients, 30 kills, 100 rounds
    --seed N                  the plan of an earlier run
cargo xtask fuzz [TARGET]     every decoder against bytes that a fuzzer makes, or this one alone
    --minutes N               for each target; 5 unless given
cargo xtask bench model       accuracy of the default model on public data in ../shared/data
cargo xtask bench browser     speed in a tab of headless Chromium, against others
    --firefox                 in Firefox instead
cargo xtask bench server      what one server process bears, against Flower
    --quick                   fewer clients and rounds
    --json                    one JSON object a line
    --help                    all flags
cargo xtask help              this text

Needs rustup and Node.js 20.19+ or 22.12+. Unchanged steps are skipped.";

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
    /// Measure.
    Bench {
        /// Passed to the measuring program as they are: what to measure comes first.
        arguments: Vec<String>,
    },
    /// Run a federation under chaos.
    Chaos {
        /// How large.
        form: Form,
        /// Of the plan; another one each time where it is not given.
        seed: Option<u64>,
    },
    /// Fuzz the decoders.
    Fuzz {
        /// One of them; all where it is not given.
        target: Option<String>,
        /// For each.
        minutes: u32,
    },
    /// Run the tests.
    Test {
        /// Which of the steps.
        selection: Selection,
    },
}

/// How large a federation under chaos is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As in the tests.
    Short,
    /// For a quarter of an hour.
    Long,
}

impl Form {
    /// Its name for the test.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// Minutes of fuzzing for each target.
const FUZZ_MINUTES: u32 = 5;

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
}

/// Reads the arguments after the program's name; the error is one line for people.
///
/// `steps` are the names that a selection may hold.
pub fn parse(arguments: impl Iterator<Item = String>, steps: &[&str]) -> Result<Task, String> {
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
        "bench" => parse_bench(arguments.collect()),
        "chaos" => parse_chaos(arguments),
        "fuzz" => parse_fuzz(arguments),
        "test" => Ok(Task::Test {
            selection: parse_selection(arguments, steps)?,
        }),
        other => Err(format!("unknown command `{other}`")),
    }
}

/// What `cargo xtask bench` can measure.
const BENCHES: [&str; 3] = ["model", "browser", "server"];

fn parse_bench(arguments: Vec<String>) -> Result<Task, String> {
    match arguments.first() {
        Some(what) if BENCHES.contains(&what.as_str()) => Ok(Task::Bench { arguments }),
        given => {
            let given = given.map_or_else(|| "nothing".to_owned(), |what| format!("`{what}`"));
            let known = BENCHES.join(" ");
            Err(format!("`bench` was given {given}; it measures: {known}"))
        }
    }
}

fn parse_chaos(mut arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let (mut form, mut seed) = (Form::Short, None);
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--long" => form = Form::Long,
            "--seed" => seed = Some(number(&flag, arguments.next())?),
            other => return Err(format!("unexpected argument `{other}`")),
        }
    }
    Ok(Task::Chaos { form, seed })
}

fn parse_fuzz(mut arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let (mut target, mut minutes) = (None, FUZZ_MINUTES);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--minutes" => minutes = number(&word, arguments.next())?,
            name if target.is_none() && !name.starts_with('-') => target = Some(word),
            other => return Err(format!("unexpected argument `{other}`")),
        }
    }
    Ok(Task::Fuzz { target, minutes })
}

fn number<T: std::str::FromStr>(flag: &str, given: Option<String>) -> Result<T, String> {
    let number = given.as_deref().and_then(|given| given.parse().ok());
    number.ok_or_else(|| {
        let given = given.map_or_else(|| "nothing".to_owned(), |given| format!("`{given}`"));
        format!("`{flag}` was given {given}; expected a whole number")
    })
}

fn nothing_more(mut arguments: impl Iterator<Item = String>, task: Task) -> Result<Task, String> {
    match arguments.next() {
        None => Ok(task),
        Some(extra) => Err(format!("unexpected argument `{extra}`")),
    }
}

fn parse_selection(
    mut arguments: impl Iterator<Item = String>,
    steps: &[&str],
) -> Result<Selection, String> {
    let mut selection = Selection::default();
    while let Some(flag) = arguments.next() {
        let names = match flag.as_str() {
            "--only" => &mut selection.only,
            "--skip" => &mut selection.skip,
            other => return Err(format!("unexpected argument `{other}`")),
        };
        match arguments.next() {
            Some(name) if steps.contains(&name.as_str()) => names.push(name),
            given => {
                let given = given.map_or_else(|| "nothing".to_owned(), |name| format!("`{name}`"));
                let steps = steps.join(" ");
                return Err(format!(
                    "`{flag}` was given {given}; the steps are: {steps}"
                ));
            }
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        let words = line.split_whitespace().map(str::to_owned);
        parse(words, &["fmt", "clippy"])
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
        assert!(Selection::default().takes("native"));
    }

    #[test]
    fn bench_passes_all_flags_on() {
        let arguments = ["model", "--json"].map(str::to_owned).into();
        assert_eq!(parsed("bench model --json"), Ok(Task::Bench { arguments }));
    }

    #[test]
    fn chaos_and_fuzz_take_their_numbers() {
        let (form, seed) = (Form::Long, Some(7));
        assert_eq!(
            parsed("chaos --long --seed 7"),
            Ok(Task::Chaos { form, seed })
        );
        let (form, seed) = (Form::Short, None);
        assert_eq!(parsed("chaos"), Ok(Task::Chaos { form, seed }));
        let target = Some("task".to_owned());
        let minutes = 2;
        assert_eq!(
            parsed("fuzz task --minutes 2"),
            Ok(Task::Fuzz { target, minutes })
        );
        assert_eq!(
            parsed("chaos --seed x"),
            Err("`--seed` was given `x`; expected a whole number".to_owned())
        );
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
            Err("`--only` was given nothing; the steps are: fmt clippy".to_owned())
        );
        assert_eq!(
            parsed("bench modle"),
            Err("`bench` was given `modle`; it measures: model browser server".to_owned())
        );
        assert_eq!(
            parsed("test --skip fmtt"),
            Err("`--skip` was given `fmtt`; the steps are: fmt clippy".to_owned())
        );
    }
}
