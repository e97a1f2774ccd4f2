//! From a file, `--set` and `--sweep` to the runs that are asked for.

mod axes;
mod laying;

use fl_core::settings::no_extra_fields;
use toml::{Table, Value};

use crate::document::{Document, one_line};
use crate::error::{Result, SimulateError};
use crate::experiment::Experiment;

use axes::{Axis, Laid, Step};
use laying::{Assignment, lay, set};

/// Everything that a command asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The experiment's name.
    pub name: String,
    /// The points of the grid, in the order of its axes; at least one.
    pub points: Vec<Point>,
}

/// One point of the grid: settings for as many runs as they have seeds.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its place on each axis: the axis and the value, as people read them. Empty without axes.
    pub place: Vec<(String, String)>,
    /// Its settings, checked.
    pub experiment: Experiment,
    origin: Origin,
}

/// Where each of a point's settings comes from, for errors.
#[derive(Clone, Debug)]
struct Origin {
    document: Document,
    flags: Vec<Assignment>,
    cases: Vec<(String, Table)>,
}

impl Plan {
    /// The grid of a file: its cases, its sweeps, those of the flags; `sets` are on top of all.
    ///
    /// A flag's sweep over an axis of the file picks values: cases are named, settings replaced.
    ///
    /// # Errors
    /// The first thing that is wrong in any point, with file and line or flag, and key.
    pub fn new(document: &Document, sets: &[String], sweeps: &[String]) -> Result<Self> {
        let whole: Experiment = document.parse()?;
        let mut table: Table = document.parse()?;
        table.remove("cases");
        table.remove("sweep");
        let sets: Vec<Assignment> = read_flags("--set", sets)?;
        let axes = axes::of(document, &whole, &sets, sweeps)?;
        let name = match whole.name.trim() {
            "" => stem(document.name()),
            name => name.to_owned(),
        };
        let mut points = Vec::new();
        for steps in axes::product(&axes) {
            points.push(point(document, &table, &sets, &axes, &steps, &name)?);
        }
        Ok(Self { name, points })
    }
}

impl Point {
    /// The name of its folder, unique in its plan: `method=lp-fl+rank=4`.
    pub fn folder(&self) -> String {
        let parts = self.place.iter().map(|(axis, value)| {
            let axis = axis.rsplit('.').next().unwrap_or(axis);
            format!("{axis}={value}")
        });
        let name = parts.collect::<Vec<_>>().join("+");
        let allowed = |c: char| match c {
            c if c.is_alphanumeric() || ".=_-+".contains(c) => c,
            _ => '-',
        };
        name.chars().map(allowed).collect()
    }

    /// The error of one of its settings, with where that comes from.
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> SimulateError {
        SimulateError::setting(self.origin.of(key), message)
    }
}

impl Origin {
    fn of(&self, key: &str) -> String {
        let covers = |flag: &&Assignment| key.starts_with(&flag.key) || flag.key.starts_with(key);
        if let Some(flag) = self.flags.iter().rev().find(covers) {
            return format!("{}, {key}", flag.flag);
        }
        let steps: Vec<&str> = key.split('.').collect();
        let has = |table: &Table| steps.first().is_some_and(|step| table.contains_key(*step));
        match self.cases.iter().rev().find(|(_, table)| has(table)) {
            Some((place, _)) => self.document.place(&format!("{place}.{key}")),
            None => self.document.place(key),
        }
    }
}

fn point(
    document: &Document,
    table: &Table,
    sets: &[Assignment],
    axes: &[Axis],
    steps: &[&Step],
    name: &str,
) -> Result<Point> {
    let mut table = table.clone();
    let mut origin = Origin {
        document: document.clone(),
        flags: Vec::new(),
        cases: Vec::new(),
    };
    let chosen = axes::chosen(axes, steps);
    let mut place = Vec::new();
    for (axis, step) in axes.iter().zip(steps) {
        match step {
            Step::Case(case) => {
                for Laid { key, settings } in case.laid(&chosen) {
                    lay(&mut table, settings);
                    origin.cases.push((key.clone(), settings.clone()));
                }
                place.push((axis.name.clone(), case.name.clone()));
            }
            Step::Value(assignment) => {
                set(&mut table, assignment)?;
                origin.flags.push(assignment.clone());
                place.push((axis.name.clone(), assignment.shown()));
            }
        }
    }
    for assignment in sets {
        set(&mut table, assignment)?;
        origin.flags.push(assignment.clone());
    }
    let given = serde_json::to_value(&table).unwrap_or_default();
    let read: Result<Experiment, _> = Value::Table(table).try_into();
    let mut experiment = read.map_err(|error: toml::de::Error| {
        // The file alone is good, so one of these is not.
        let flags = origin.flags.iter().map(|flag| flag.flag.clone());
        let cases = origin.cases.iter().map(|(key, _)| document.place(key));
        let sources: Vec<String> = cases.chain(flags).collect();
        SimulateError::setting(sources.join(" or "), one_line(error.message()))
    })?;
    experiment.name = name.to_owned();
    let checked = no_extra_fields(&given, &experiment).and_then(|()| experiment.check());
    let point = Point {
        place,
        experiment,
        origin,
    };
    match checked {
        Ok(()) => Ok(point),
        Err(error) => {
            let message = format!("expected {}, got {}", error.expected, error.got);
            Err(point.refuse(&error.field, message))
        }
    }
}

fn read_flags(flag: &str, texts: &[String]) -> Result<Vec<Assignment>> {
    let read = |text: &String| {
        let flag = format!("{flag} {text}");
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Assignment {
                flag,
                key: key.trim().into(),
                value: laying::value(value),
            }),
            _ => Err(SimulateError::setting(flag, "expected key=value")),
        }
    };
    texts.iter().map(read).collect()
}

/// A file's name without folder and ending.
fn stem(name: &str) -> String {
    let stem = std::path::Path::new(name).file_stem();
    stem.map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
