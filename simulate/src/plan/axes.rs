//! The axes of a grid: the cases and sweeps of a file and of flags.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::in_folder;
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
    /// Tables laid over the settings.
    Case(Case),
    /// One setting.
    Value(Assignment),
}

/// One of an axis's cases.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: String,
    laid: Laid,
    /// What it sets only together with a case of another axis.
    when: Vec<When>,
}

/// Settings, and the key of their place in the file.
#[derive(Clone)]
pub(super) struct Laid {
    pub(super) key: String,
    pub(super) settings: Table,
}

#[derive(Clone)]
struct When {
    axis: String,
    case: String,
    laid: Laid,
}

impl Case {
    /// What it lays over the settings at a point of these cases, each with its axis.
    pub(super) fn laid(&self, chosen: &[(&str, &str)]) -> impl Iterator<Item = &Laid> {
        let holds = |when: &&When| chosen.contains(&(&when.axis, &when.case));
        let when = self.when.iter().filter(holds).map(|when| &when.laid);
        std::iter::once(&self.laid).chain(when)
    }
}

impl Axis {
    fn cases(&self) -> impl Iterator<Item = &Case> {
        self.values.iter().filter_map(|step| match step {
            Step::Case(case) => Some(case),
            Step::Value(_) => None,
        })
    }

    fn case(&self, name: &str) -> Result<&Case, String> {
        self.cases().find(|case| case.name == name).ok_or_else(|| {
            let cases: Vec<&str> = self.cases().map(|case| case.name.as_str()).collect();
            format!("expected cases of {}, got {name}", cases.join(", "))
        })
    }
}

/// The cases among a point's steps: each axis's name and the case's.
pub(super) fn chosen<'a>(axes: &'a [Axis], steps: &[&'a Step]) -> Vec<(&'a str, &'a str)> {
    let case = |(axis, step): (&'a Axis, &&'a Step)| match step {
        Step::Case(case) => Some((axis.name.as_str(), case.name.as_str())),
        Step::Value(_) => None,
    };
    axes.iter().zip(steps).filter_map(case).collect()
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
    check_when(document, &axes)?;
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
        if laying::is_axis(key) || key == "name" {
            let message = "expected a setting, or an axis of the file's cases";
            return Err(SimulateError::setting(flag, message));
        }
        if let Some(set) = sets.iter().find(|set| set.key == key) {
            let message = format!("{key} is set by {} too; leave one of them out", set.flag);
            return Err(SimulateError::setting(flag, message));
        }
        match axes.iter_mut().find(|axis| axis.name == key) {
            Some(axis) if matches!(axis.values.first(), Some(Step::Case(_))) => {
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
    for axis in &axes {
        check_unique(document, axis)?;
    }
    Ok(axes)
}

/// Every value of an axis must have a folder of its own.
fn check_unique(document: &Document, axis: &Axis) -> Result<()> {
    let mut known = BTreeMap::new();
    for step in &axis.values {
        let (place, name) = match step {
            Step::Case(case) => {
                let place = document.place(&format!("{}.name", case.laid.key));
                if case.name.trim().is_empty() {
                    return Err(SimulateError::setting(place, "expected a name, got none"));
                }
                (place, case.name.clone())
            }
            Step::Value(assignment) => (assignment.flag.clone(), assignment.shown()),
        };
        let folder = format!("{}={}", axis.name, in_folder(&name));
        if let Some(before) = known.insert(folder.clone(), name.clone()) {
            let message = match before == name {
                true => format!(
                    "expected each value of {} once, got {name} twice",
                    axis.name
                ),
                false => format!("{name} and {before} share the folder {folder}; rename one"),
            };
            return Err(SimulateError::setting(place, message));
        }
    }
    Ok(())
}

/// Points of the grid.
pub(super) fn count(axes: &[Axis]) -> u128 {
    let lengths = axes.iter().map(|axis| axis.values.len() as u128);
    lengths.fold(1, u128::saturating_mul)
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
        let mut settings = case.as_table().ok_or_else(|| wrong(&key))?.clone();
        let name = settings.remove("name");
        let name = name.as_ref().and_then(Value::as_str);
        let name = name.ok_or_else(|| wrong(&key))?.to_owned();
        if let Some(axis) = settings.keys().find(|key| laying::is_axis(key)) {
            let message = format!("a case has no {axis}; put it at the top of the file");
            let place = document.place(&format!("{key}.{axis}"));
            return Err(SimulateError::setting(place, message));
        }
        let when = settings.remove("when").map(|axes| {
            let key = format!("{key}.when");
            read_when(document, &key, &axes)
        });
        let when = when.transpose()?.unwrap_or_default();
        let laid = Laid { key, settings };
        values.push(Step::Case(Case { name, laid, when }));
    }
    Ok(Axis {
        name: name.into(),
        values,
    })
}

/// Settings by an axis and a case of it.
fn read_when(document: &Document, key: &str, axes: &Value) -> Result<Vec<When>> {
    let table = |key: &str, value: &Value| {
        value.as_table().cloned().ok_or_else(|| {
            let message = "expected when.AXIS.CASE with settings";
            SimulateError::setting(document.place(key), message)
        })
    };
    let mut all = Vec::new();
    for (axis, cases) in table(key, axes)? {
        let key = format!("{key}.{axis}");
        for (case, settings) in table(&key, &cases)? {
            let key = format!("{key}.{case}");
            let settings = table(&key, &settings)?;
            all.push(When {
                axis: axis.clone(),
                case,
                laid: Laid { key, settings },
            });
        }
    }
    Ok(all)
}

/// Every `when` must name a case of the file.
fn check_when(document: &Document, axes: &[Axis]) -> Result<()> {
    for when in axes
        .iter()
        .flat_map(Axis::cases)
        .flat_map(|case| &case.when)
    {
        let found = axes.iter().find(|axis| axis.name == when.axis);
        let found = found.ok_or_else(|| {
            let axes: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
            format!("expected an axis of {}, got {}", axes.join(", "), when.axis)
        });
        let found = found.and_then(|axis| axis.case(&when.case));
        found.map_err(|message| SimulateError::setting(document.place(&when.laid.key), message))?;
    }
    Ok(())
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
    let kept = names.iter().map(|name| {
        let case = axis.case(&laying::shown(name));
        let case = case.map_err(|message| SimulateError::setting(flag, message));
        case.cloned().map(Step::Case)
    });
    axis.values = kept.collect::<Result<_>>()?;
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
