//! `report.md`: the last figures as tables that a document can take over.

use std::fmt::Write as _;

use super::{groups, mean, name, shown};
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
    let mut out = header(&[&[""], &right.1[..]].concat());
    for row in &down.1 {
        let cells = right.1.iter().map(|column| cell(row, column));
        line(&mut out, std::iter::once((*row).to_owned()).chain(cells));
    }
    out
}

/// A row for each point.
fn list(points: &[&PointResults]) -> String {
    let mut out = header(&[
        "",
        "accuracy",
        "macro F1",
        "soft labels right",
        "bytes an update",
        "seconds a run",
    ]);
    for point in points {
        let figures = |figure: &dyn Fn(&RunFigures) -> Option<f32>| {
            let values = point.runs.iter().filter_map(figure).map(f64::from);
            shown(&values.collect::<Vec<_>>())
        };
        let bytes = point.runs.iter().map(|run| run.update_bytes() as f64);
        let cells = [
            name(point),
            shown(&point.accuracies()),
            figures(&|run| Some(run.last()?.macro_f1)),
            figures(&|run| Some(run.rounds.last()?.soft_labels.as_ref()?.precision)),
            format!("{:.0}", mean(&bytes.collect::<Vec<_>>())),
            format!("{:.0}", point.wall_ms as f64 / 1000.0),
        ];
        line(&mut out, cells);
    }
    out
}

fn header(names: &[&str]) -> String {
    let mut out = String::new();
    line(&mut out, names.iter().map(|name| (*name).to_owned()));
    let _ = writeln!(out, "|{}", "---|".repeat(names.len()));
    out
}

/// A row of a table, in which a name may hold what would end a cell.
fn line(out: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_cell() {
        let mut out = header(&["", "a|b"]);
        line(&mut out, ["c".into(), "1".into()]);
        assert_eq!(out, "|  | a\\|b |\n|---|---|\n| c | 1 |\n");
    }
}
