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

/// Most points of a grid.
const MOST_POINTS: u128 = 10_000;

/// Most bytes of a folder's name, as file systems have it.
const MOST_FOLDER_BYTES: usize = 255;

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
        let set = sets
            .iter()
            .rev()
            .find(|assignment| assignment.key == "name");
        let name = set.map_or_else(|| whole.name.clone(), Assignment::shown);
        let name = match name.trim() {
            "" => stem(document.name()),
            name => name.to_owned(),
        };
        let count = axes::count(&axes);
        if count > MOST_POINTS {
            let message = format!("expected a grid of at most {MOST_POINTS} points, got {count}");
            return Err(SimulateError::setting(document.name(), message));
        }
        let mut points = Vec::new();
        for steps in axes::product(&axes) {
            let point = point(document, &table, &sets, &axes, &steps, &name)?;
            let folder = point.folder();
            if folder.len() > MOST_FOLDER_BYTES {
                let message = format!(
                    "expected names that make a folder of at most {MOST_FOLDER_BYTES} bytes, got \
                     {folder}"
                );
                return Err(SimulateError::setting(document.name(), message));
            }
            points.push(point);
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
        in_folder(&parts.collect::<Vec<_>>().join("+"))
    }

    /// The error of one of its settings, with where that comes from.
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> SimulateError {
        SimulateError::setting(self.origin.of(key), message)
    }
}

impl Origin {
    fn of(&self, key: &str) -> String {
        let steps = key.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        let steps: Vec<&str> = steps.collect();
        let covers = |flag: &&Assignment| {
            let set = flag.key.split('.');
            set.zip(&steps).all(|(set, step)| set == *step)
        };
        if let Some(flag) = self.flags.iter().rev().find(covers) {
            return format!("{}, {key}", flag.flag);
        }
        match self
            .cases
            .iter()
            .rev()
            .find(|(_, table)| gives(table, &steps))
        {
            Some((place, _)) => self.document.place(&format!("{place}.{key}")),
            None => self.document.place(key),
        }
    }
}

/// Whether laying a table over settings decides the one at this key.
fn gives(table: &Table, steps: &[&str]) -> bool {
    let mut table = table;
    for (depth, step) in steps.iter().enumerate() {
        match table.get(*step) {
            Some(Value::Table(inner)) => table = inner,
            Some(_) => return true,
            // What replaces a table as a whole decides all of it.
            None => return depth > 0 && laying::is_whole(steps[depth - 1], table),
        }
    }
    true
}

/// As a folder may be called.
fn in_folder(name: &str) -> String {
    let allowed = |c: char| match c {
        c if c.is_alphanumeric() || ".=_-+".contains(c) => c,
        _ => '-',
    };
    name.chars().map(allowed).collect()
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
    // What was laid so far, after each source: the first that fails as the whole does is at fault.
    let mut laid: Vec<(String, Table)> = Vec::new();
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
                    laid.push((document.place(key), table.clone()));
                    origin.cases.push((key.clone(), settings.clone()));
                }
                place.push((axis.name.clone(), case.name.clone()));
            }
            Step::Value(assignment) => {
                set(&mut table, assignment)?;
                laid.push((assignment.flag.clone(), table.clone()));
                origin.flags.push(assignment.clone());
                place.push((axis.name.clone(), assignment.shown()));
            }
        }
    }
    for assignment in sets {
        set(&mut table, assignment)?;
        laid.push((assignment.flag.clone(), table.clone()));
        origin.flags.push(assignment.clone());
    }
    let given = serde_json::to_value(&table).unwrap_or_default();
    let mut experiment = parsed(table).map_err(|message| {
        // The file alone is good, so one of what was laid over it is not.
        let fails = |table: Table| parsed(table).is_err_and(|found| found == message);
        let at_fault = laid.into_iter().find(|(_, table)| fails(table.clone()));
        let place = at_fault.map_or_else(|| document.name().into(), |(place, _)| place);
        SimulateError::setting(place, message)
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

fn parsed(table: Table) -> Result<Experiment, String> {
    let read: Result<Experiment, toml::de::Error> = Value::Table(table).try_into();
    read.map_err(|error| one_line(error.message()))
}

fn read_flags(flag: &str, texts: &[String]) -> Result<Vec<Assignment>> {
    let read = |text: &String| {
        let flag = format!("{flag} {text}");
        match text.split_once('=') {
            Some((key, _)) if laying::is_axis(key) => {
                let message = "expected a setting; write axes into the file, or give --sweep";
                Err(SimulateError::setting(flag, message))
            }
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
