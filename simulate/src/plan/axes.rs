//! The axes of a grid: the cases and sweeps of a file and of flags.

use toml::{Table, Value};

use super::laying::{self, Assignment};
use crate::document::Document;
use crate::error::{Result, SimulateError};
use crate::experiment::Experiment;

/// One axis: what each of its values is called, and what it changes.
pub(super) struct Axis {
    pub(super) name: String,
    values: Vec<Step>,
}

#[derive(Clone)]
pub(super) enum Step {
    /// A table laid over the settings, and the key of its place in the file.
    Case(String, String, Table),
    /// One setting.
    Value(Assignment),
}

/// The axes of the file and of the flags.
pub(super) fn of(
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
pub(super) fn product(axes: &[Axis]) -> Vec<Vec<&Step>> {
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
