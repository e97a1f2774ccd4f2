//! From a file, `--set` and `--sweep` to the runs that are asked for.

mod laying;

use fl_core::settings::no_extra_fields;
use toml::{Table, Value};

use crate::document::{Document, one_line};
use crate::error::{Result, SimulateError};
use crate::experiment::Experiment;

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

/// One axis: what each of its values is called, and what it changes.
struct Axis {
    name: String,
    values: Vec<Step>,
}

#[derive(Clone)]
enum Step {
    /// A table laid over the settings, and the key of its place in the file.
    Case(String, String, Table),
    /// One setting.
    Value(Assignment),
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
        let axes = axes(document, &whole, &sets, sweeps)?;
        let name = match whole.name.trim() {
            "" => stem(document.name()),
            name => name.to_owned(),
        };
        let mut points = Vec::new();
        for steps in product(&axes) {
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
    let mut place = Vec::new();
    for (axis, step) in axes.iter().zip(steps) {
        match step {
            Step::Case(value, key, case) => {
                lay(&mut table, case);
                origin.cases.push((key.clone(), case.clone()));
                place.push((axis.name.clone(), value.clone()));
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

/// The axes of the file and of the flags.
fn axes(
    document: &Document,
    whole: &Experiment,
    sets: &[Assignment],
    sweeps: &[String],
) -> Result<Vec<Axis>> {
    let mut axes = Vec::new();
    for (name, cases) in &whole.cases {
        axes.push(case_axis(document, name, cases)?);
    }
    for (key, values) in flat(&whole.sweep, "") {
        if sets.iter().any(|assignment| assignment.key == key) {
            continue;
        }
        let place = document.place(&format!("sweep.{key}"));
        axes.push(value_axis(&key, &values, |_| place.clone())?);
    }
    for sweep in sweeps {
        let flag = format!("--sweep {sweep}");
        let Some((key, values)) = sweep.split_once('=') else {
            let message = "expected key=value,value,…";
            return Err(SimulateError::setting(flag, message));
        };
        let values = laying::values(values);
        match axes.iter_mut().find(|axis| axis.name == key) {
            Some(axis) if matches!(axis.values.first(), Some(Step::Case(..))) => {
                pick(axis, &values, &flag)?;
            }
            found => {
                let new = value_axis(key, &Value::Array(values), |value| {
                    format!("--sweep {key}={value}")
                })?;
                match found {
                    Some(axis) => *axis = new,
                    None => axes.push(new),
                }
            }
        }
    }
    Ok(axes)
}

fn case_axis(document: &Document, name: &str, cases: &Value) -> Result<Axis> {
    let wrong = |key: &str| {
        let message = "expected [[cases.AXIS]] tables, each with a name and settings";
        SimulateError::setting(document.place(key), message)
    };
    let key = format!("cases.{name}");
    let cases = cases.as_array().filter(|cases| !cases.is_empty());
    let mut values = Vec::new();
    for (index, case) in cases.ok_or_else(|| wrong(&key))?.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let mut case = case.as_table().ok_or_else(|| wrong(&key))?.clone();
        let name = case.remove("name");
        let name = name.as_ref().and_then(Value::as_str);
        let name = name.ok_or_else(|| wrong(&key))?;
        values.push(Step::Case(name.to_owned(), key, case));
    }
    Ok(Axis {
        name: name.into(),
        values,
    })
}

fn value_axis(key: &str, values: &Value, flag: impl Fn(&str) -> String) -> Result<Axis> {
    let values = values.as_array().filter(|values| !values.is_empty());
    let values = values.ok_or_else(|| {
        let message = format!("expected a list of values for {key}");
        SimulateError::setting(flag(""), message)
    })?;
    let step = |value: &Value| {
        let mut assignment = Assignment {
            flag: String::new(),
            key: key.into(),
            value: value.clone(),
        };
        assignment.flag = flag(&assignment.shown());
        Step::Value(assignment)
    };
    Ok(Axis {
        name: key.into(),
        values: values.iter().map(step).collect(),
    })
}

/// Keeps the named cases of an axis.
fn pick(axis: &mut Axis, names: &[Value], flag: &str) -> Result<()> {
    let mut kept = Vec::new();
    for name in names {
        let name = laying::shown(name);
        let is_named = |step: &&Step| matches!(step, Step::Case(case, ..) if *case == name);
        match axis.values.iter().find(is_named) {
            Some(step) => kept.push(step.clone()),
            None => {
                let cases = axis.values.iter().filter_map(|step| match step {
                    Step::Case(case, ..) => Some(case.as_str()),
                    Step::Value(_) => None,
                });
                let cases = cases.collect::<Vec<_>>().join(", ");
                let message = format!("expected cases of {cases}, got {name}");
                return Err(SimulateError::setting(flag, message));
            }
        }
    }
    axis.values = kept;
    Ok(())
}

/// Every choice of one value an axis; the last axis changes fastest.
fn product(axes: &[Axis]) -> Vec<Vec<&Step>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        let longer = |point: &Vec<_>| {
            let point = point.clone();
            axis.values.iter().map(move |step| {
                let mut point = point.clone();
                point.push(step);
                point
            })
        };
        points.iter().flat_map(longer).collect()
    })
}

/// Dotted keys and lists of a table of tables.
fn flat(table: &Table, before: &str) -> Vec<(String, Value)> {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => flat(inner, &format!("{before}{key}.")),
        value => vec![(format!("{before}{key}"), value.clone())],
    };
    table.iter().flat_map(entry).collect()
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
