//! `report.md`: the last figures as tables that a document can take over.

use std::fmt::Write as _;

use super::{groups, name, shown};
use crate::figures::RunFigures;
use crate::results::{PointResults, Results};

/// A table for each choice on all axes but the last two.
pub(crate) fn tables(results: &Results) -> String {
    let mut out = String::new();
    for (heading, points) in groups(&results.points, 2) {
        if !heading.is_empty() {
            let _ = writeln!(out, "{heading}\n");
        }
        let two_axes = points.iter().all(|point| point.place.len() >= 2);
        out.push_str(&match two_axes {
            true => grid(&points),
            false => list(&points),
        });
        out.push('\n');
    }
    out
}

/// The accuracy at each choice on the last two axes; that with fewer values runs to the right.
fn grid(points: &[&PointResults]) -> String {
    let axis = |from_last: usize| {
        let mut values: Vec<&str> = Vec::new();
        for point in points {
            let (_, value) = &point.place[point.place.len() - from_last];
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        values
    };
    let (mut down, mut right) = ((2, axis(2)), (1, axis(1)));
    if right.1.len() > down.1.len() {
        std::mem::swap(&mut down, &mut right);
    }
    let cell = |row: &str, column: &str| {
        let is = |point: &&&PointResults, from_last: usize, value: &str| {
            point.place[point.place.len() - from_last].1 == value
        };
        let here = |point: &&&PointResults| is(point, down.0, row) && is(point, right.0, column);
        let found = points.iter().find(here);
        found.map_or_else(|| "–".into(), |point| shown(&point.accuracies()))
    };
    let mut out = header(std::iter::once("").chain(right.1.iter().copied()));
    for row in &down.1 {
        let cells = right.1.iter().map(|column| cell(row, column));
        let _ = writeln!(out, "| {row} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    out
}

/// A row for each point.
fn list(points: &[&PointResults]) -> String {
    let mut out = header(
        [
            "",
            "accuracy",
            "macro F1",
            "soft labels right",
            "bytes an update",
            "seconds a run",
        ]
        .into_iter(),
    );
    for point in points {
        let figures = |figure: &dyn Fn(&RunFigures) -> Option<f32>| {
            let values = point.runs.iter().filter_map(figure).map(f64::from);
            shown(&values.collect::<Vec<_>>())
        };
        let bytes = point.runs.iter().map(RunFigures::update_bytes).max();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.0} |",
            name(point),
            shown(&point.accuracies()),
            figures(&|run| Some(run.last()?.macro_f1)),
            figures(&|run| Some(run.rounds.last()?.soft_labels.as_ref()?.precision)),
            bytes.unwrap_or_default(),
            point.wall_ms as f64 / 1000.0
        );
    }
    out
}

fn header<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let line = "---|".repeat(names.len());
    format!("| {} |\n|{line}\n", names.join(" | "))
}
