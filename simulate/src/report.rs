//! `report.html`, one page without anything from elsewhere, readable in light and in dark; its
//! plots as files; and `report.md`.

mod markdown;
mod plot;

use std::fmt::Write as _;

use crate::figures::{RoundFigures, RunFigures};
use crate::results::{PointResults, Results};

pub(crate) use markdown::tables;
use plot::{At, Axis, Plot, Scale, Series};

/// Looks, and the colours of the series; both follow the reader's light or dark.
const STYLE: &str = include_str!("report/report.css");

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let title = escape(&results.experiment);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    table(&mut page, results);
    for (heading, plots) in sections(results) {
        if !heading.is_empty() {
            let _ = writeln!(page, "<h2>{}</h2>", escape(&heading));
        }
        page.push_str("<div class=\"plots\">\n");
        for plot in plots {
            page.push_str(&plot.figure());
        }
        page.push_str("</div>\n");
    }
    settings(&mut page, results);
    let _ = writeln!(
        page,
        "<footer>lpfl {}. Bands and ± show the standard deviation over the seeds.</footer>\n\
         </main>\n</body>\n</html>",
        results.version
    );
    page
}

/// Every plot of the page as a file: its name and its content.
pub(crate) fn images(results: &Results) -> Vec<(String, String)> {
    let named = |(heading, plots): (String, Vec<Plot>)| {
        plots.into_iter().map(move |plot| {
            let words = format!("{heading} {}", plot.title);
            (format!("{}.svg", slug(&words)), plot.image(STYLE))
        })
    };
    sections(results).into_iter().flat_map(named).collect()
}

/// Small letters and digits, with a hyphen for everything between them.
fn slug(words: &str) -> String {
    let parts = words.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<String> = parts
        .filter(|part| !part.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    parts.join("-")
}

/// The page's plots under their headings.
fn sections(results: &Results) -> Vec<(String, Vec<Plot>)> {
    let by_value = groups(&results.points, 2)
        .into_iter()
        .filter_map(|(heading, points)| Some((heading, vec![against_last_axis(&points)?])));
    let by_round = groups(&results.points, 1)
        .into_iter()
        .map(|(heading, points)| (heading, plots(&points)));
    by_value.chain(by_round).collect()
}

/// Points that differ on their last so many axes only, under what they share.
fn groups(points: &[PointResults], axes: usize) -> Vec<(String, Vec<&PointResults>)> {
    let mut groups: Vec<(String, Vec<&PointResults>)> = Vec::new();
    for point in points {
        let outer = point.place.len().saturating_sub(axes);
        let values = point.place[..outer].iter().map(|(_, value)| value.as_str());
        let heading = values.collect::<Vec<_>>().join(" · ");
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, group)) => group.push(point),
            None => groups.push((heading, vec![point])),
        }
    }
    groups
}

/// The last accuracy against the last axis, where that has at least three numbers: a line for
/// each value of the axis before it.
fn against_last_axis(points: &[&PointResults]) -> Option<Plot> {
    let (axis, _) = points.first()?.place.last()?;
    let mut lines: Vec<Series> = Vec::new();
    for point in points {
        let ((_, value), outer) = point.place.split_last()?;
        let name = outer
            .last()
            .map_or_else(String::new, |(_, value)| value.clone());
        let accuracies = point.accuracies();
        let at = At {
            x: value.parse().ok()?,
            y: mean(&accuracies),
            spread: deviation(&accuracies),
        };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(at),
            None => lines.push(Series {
                name,
                place: lines.len(),
                points: vec![at],
            }),
        }
    }
    let enough = lines.iter().any(|line| line.points.len() >= 3);
    enough.then(|| Plot {
        title: format!("Accuracy by {axis}"),
        x: Axis {
            label: axis.clone(),
            scale: Scale::Linear,
        },
        y: "accuracy".into(),
        series: lines,
    })
}

fn name(point: &PointResults) -> String {
    let last = point.place.last();
    last.map_or_else(|| point.label(), |(_, value)| value.clone())
}

fn plots(points: &[&PointResults]) -> Vec<Plot> {
    let accuracy = |round: &RoundFigures| Some(f64::from(round.evaluation.as_ref()?.accuracy));
    let precision = |round: &RoundFigures| Some(f64::from(round.soft_labels.as_ref()?.precision));
    let by_round = |figure: &dyn Fn(&RoundFigures) -> Option<f64>| -> Vec<Series> {
        let round = |run: &RunFigures, index: usize| f64::from(run.rounds[index].round);
        let series = |(place, point): (usize, &&PointResults)| Series {
            name: name(point),
            place,
            points: over_seeds(&point.runs, &round, figure),
        };
        points.iter().enumerate().map(series).collect()
    };
    let federated = |(_, point): &(usize, &&PointResults)| point.settings.method.is_federated();
    let by_bytes = points.iter().enumerate().filter(federated);
    let by_bytes = by_bytes.map(|(place, point)| Series {
        name: name(point),
        place,
        points: over_seeds(&point.runs, &total_bytes, &accuracy),
    });
    let plot = |title: &str, x: &str, y: &str, scale, series: Vec<Series>| Plot {
        title: title.into(),
        x: Axis {
            label: x.into(),
            scale,
        },
        y: y.into(),
        series: series
            .into_iter()
            .filter(|s| !s.points.is_empty())
            .collect(),
    };
    let all = [
        plot(
            "Accuracy",
            "round",
            "accuracy",
            Scale::Linear,
            by_round(&accuracy),
        ),
        plot(
            "Accuracy against traffic",
            "bytes up and down, all clients",
            "accuracy",
            Scale::Bytes,
            by_bytes.collect(),
        ),
        plot(
            "Soft labels that are right",
            "round",
            "precision",
            Scale::Linear,
            by_round(&precision),
        ),
    ];
    all.into_iter()
        .filter(|plot| !plot.series.is_empty())
        .collect()
}

/// Bytes of all rounds up to one.
fn total_bytes(run: &RunFigures, index: usize) -> f64 {
    let rounds = run.rounds.iter().take(index + 1);
    rounds
        .map(|round| (round.bytes_up + round.bytes_down) as f64)
        .sum()
}

/// Mean and standard deviation over the seeds, at each round that has the figure.
fn over_seeds(
    runs: &[RunFigures],
    x: &dyn Fn(&RunFigures, usize) -> f64,
    figure: &dyn Fn(&RoundFigures) -> Option<f64>,
) -> Vec<At> {
    let rounds = runs.iter().map(|run| run.rounds.len()).min().unwrap_or(0);
    let at = |index: usize| {
        let found = runs.iter().filter_map(|run| figure(&run.rounds[index]));
        let values: Vec<f64> = found.collect();
        let places: Vec<f64> = runs.iter().map(|run| x(run, index)).collect();
        (!values.is_empty()).then(|| At {
            x: mean(&places),
            y: mean(&values),
            spread: deviation(&values),
        })
    };
    (0..rounds).filter_map(at).collect()
}

fn table(page: &mut String, results: &Results) {
    page.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>run</th><th>data</th><th>method</th>\
         <th>soft labels</th><th>seeds</th><th>accuracy</th><th>macro F1</th>\
         <th>worst client</th><th>bytes an update</th><th>seconds a run</th></tr></thead>\n\
         <tbody>\n",
    );
    for point in &results.points {
        let last = |figure: &dyn Fn(&crate::figures::EvaluationFigures) -> Option<f32>| {
            let values = point.runs.iter().filter_map(|run| figure(run.last()?));
            let values: Vec<f64> = values.map(f64::from).collect();
            shown(&values)
        };
        let updates: Vec<f64> = point
            .runs
            .iter()
            .map(|run| run.update_bytes() as f64)
            .collect();
        let soft = match point.settings.has_soft_labels() {
            true => "on",
            false => "off",
        };
        let _ = writeln!(
            page,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{soft}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{:.0}</td><td>{:.0}</td></tr>",
            escape(&point.label()),
            escape(&point.settings.data.title()),
            point.settings.method.name(),
            point.runs.len(),
            last(&|e| Some(e.accuracy)),
            last(&|e| Some(e.macro_f1)),
            last(&|e| e.worst_client),
            mean(&updates),
            point.wall_ms as f64 / 1000.0,
        );
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn settings(page: &mut String, results: &Results) {
    page.push_str("<h2>Settings</h2>\n");
    for point in &results.points {
        let settings = toml::to_string(&point.settings).unwrap_or_default();
        let task = toml::to_string(&point.task).unwrap_or_default();
        let _ = writeln!(
            page,
            "<details><summary>{}</summary>\n<pre>{}</pre>\n<p>The task, resolved:</p>\n\
             <pre>{}</pre>\n</details>",
            escape(&point.label()),
            escape(&settings),
            escape(&task)
        );
    }
}

fn shown(values: &[f64]) -> String {
    match values {
        [] => "–".into(),
        [one] => format!("{one:.3}"),
        more => format!("{:.3} ± {:.3}", mean(more), deviation(more)),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The sample's standard deviation; 0 for a single value.
fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (squares.sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// Text, never markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_samples_standard_deviation() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert!((deviation(&[1.0, 2.0, 6.0]) - 7f64.sqrt()).abs() < 1e-12);
        assert_eq!(deviation(&[4.0]), 0.0);
        assert_eq!(shown(&[]), "–");
        assert_eq!(shown(&[0.5, 0.5]), "0.500 ± 0.000");
    }

    #[test]
    fn names_are_text_and_never_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
