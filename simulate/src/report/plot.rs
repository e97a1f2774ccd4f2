//! Line plots as SVG, inline or as files.

use std::fmt::Write as _;

use super::escape;

/// Width and height of a plot.
const SIZE: (f64, f64) = (420.0, 280.0);
/// Space around the lines: left, right, top, bottom.
const SPACE: (f64, f64, f64, f64) = (48.0, 12.0, 10.0, 40.0);
/// Colours that the style sheet has.
const COLOURS: usize = 8;

/// A plot of several lines.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: String,
    pub(super) series: Vec<Series>,
}

/// What runs to the right.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) scale: Scale,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// By powers of ten; what is zero has no place.
    Bytes,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// Its place in the group, so that a name has one colour in all of the group's plots.
    pub(super) place: usize,
    pub(super) points: Vec<At>,
}

/// A point of a line, with how far it spreads up and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) spread: f64,
}

impl Scale {
    fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => Some(value),
            Self::Bytes => (value > 0.0).then(|| value.log10()),
        }
    }
}

impl Series {
    fn colour(&self) -> String {
        format!("var(--c{})", self.place % COLOURS)
    }

    /// The style of its line: dashed where the colours begin anew.
    fn stroke(&self) -> String {
        let dash = match self.place / COLOURS {
            0 => "",
            1 => ";stroke-dasharray:6 3",
            _ => ";stroke-dasharray:2 3",
        };
        format!("stroke:{}{dash}", self.colour())
    }
}

impl Plot {
    /// The plot as a `figure` with its legend.
    pub(super) fn figure(&self) -> String {
        let title = escape(&self.title);
        let mut out = format!(
            "<figure><figcaption>{title}</figcaption>\n<svg role=\"img\" aria-label=\"{title}\" \
             width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\">\n{}</svg>\n\
             <ul class=\"legend\">\n",
            self.lines(),
            w = SIZE.0,
            h = SIZE.1
        );
        for series in &self.series {
            let _ = writeln!(
                out,
                "<li><i style=\"border-color:{}\"></i>{}</li>",
                series.colour(),
                escape(&series.name)
            );
        }
        let _ = writeln!(out, "</ul>\n<!-- {} --></figure>", escape(&self.y));
        out
    }

    /// The plot with its title and legend as a file of its own.
    pub(super) fn image(&self, style: &str) -> String {
        let rows = self.series.len().div_ceil(2) as f64;
        let (top, height) = (28.0, SIZE.1 + 28.0 + 20.0 * rows + 8.0);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{height}\" \
             viewBox=\"0 0 {w} {height}\" font-family=\"system-ui, sans-serif\">\n\
             <style>\n{style}</style>\n\
             <rect width=\"100%\" height=\"100%\" style=\"fill:var(--page)\"/>\n\
             <text x=\"12\" y=\"20\" class=\"title\">{}</text>\n\
             <g transform=\"translate(0 {top})\">\n{}</g>\n",
            escape(&self.title),
            self.lines(),
            w = SIZE.0,
        );
        for (index, series) in self.series.iter().enumerate() {
            let x = SPACE.0 + (index % 2) as f64 * 184.0;
            let y = SIZE.1 + top + 20.0 * (index / 2) as f64 + 8.0;
            let _ = writeln!(
                out,
                "<path class=\"mean\" style=\"{}\" d=\"M{x} {y}h20\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                series.stroke(),
                x + 26.0,
                y + 4.0,
                escape(&series.name)
            );
        }
        out.push_str("</svg>\n");
        out
    }

    /// Grid, axes and lines.
    fn lines(&self) -> String {
        let placed: Vec<Vec<At>> = self
            .series
            .iter()
            .map(|series| self.placed(series))
            .collect();
        let all = || placed.iter().flatten();
        let x = range(all().map(|at| (at.x, at.x)), 0.0);
        let y = range(all().map(|at| (at.y - at.spread, at.y + at.spread)), 0.04);
        let (left, right, top, bottom) = SPACE;
        let to_x = |value: f64| left + (value - x.0) / (x.1 - x.0) * (SIZE.0 - left - right);
        let to_y =
            |value: f64| SIZE.1 - bottom - (value - y.0) / (y.1 - y.0) * (SIZE.1 - top - bottom);
        let mut out = String::new();
        for (value, label) in ticks(y, Scale::Linear) {
            let place = to_y(value);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{left} {place:.1}H{:.1}\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                SIZE.0 - right,
                left - 6.0,
                place + 4.0
            );
        }
        for (value, label) in ticks(x, self.x.scale) {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                to_x(value),
                SIZE.1 - bottom + 16.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (left + SIZE.0 - right) / 2.0,
            SIZE.1 - 6.0,
            escape(&self.x.label)
        );
        for (points, series) in placed.iter().zip(&self.series) {
            let colour = series.colour();
            let mark = |at: &At, y: f64| format!("{:.1} {:.1}", to_x(at.x), to_y(y));
            if points.iter().any(|at| at.spread > 0.0) {
                let upper = points.iter().map(|at| mark(at, at.y + at.spread));
                let lower = points.iter().rev().map(|at| mark(at, at.y - at.spread));
                let outline = upper.chain(lower).collect::<Vec<_>>().join("L");
                let _ = writeln!(
                    out,
                    "<path class=\"band\" style=\"fill:{colour}\" d=\"M{outline}Z\"/>"
                );
            }
            let line: Vec<String> = points.iter().map(|at| mark(at, at.y)).collect();
            let _ = writeln!(
                out,
                "<path class=\"mean\" style=\"{}\" d=\"M{}\"/>",
                series.stroke(),
                line.join("L")
            );
            for at in points {
                let mark = (to_x(at.x), to_y(at.y));
                let name = escape(&series.name);
                let _ = writeln!(
                    out,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" style=\"fill:{colour}\"><title>\
                     {name}: {:.3}</title></circle>",
                    mark.0, mark.1, at.y
                );
            }
        }
        out
    }

    /// A line's points where the axis has a place for them.
    fn placed(&self, series: &Series) -> Vec<At> {
        let at = |at: &At| {
            let x = self.x.scale.place(at.x)?;
            (at.y.is_finite() && at.spread.is_finite()).then_some(At { x, ..*at })
        };
        series.points.iter().filter_map(at).collect()
    }
}

/// From the lowest to the highest value, never empty, with a margin on both sides.
fn range(values: impl Iterator<Item = (f64, f64)>, margin: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| {
        (low.min(a), high.max(b))
    });
    if low > high {
        return (0.0, 1.0);
    }
    let width = (high - low).max(1e-3);
    (low - margin * width, low + width + margin * width)
}

/// Round numbers within a range, and how they are written.
fn ticks((low, high): (f64, f64), scale: Scale) -> Vec<(f64, String)> {
    if scale == Scale::Bytes && high - low >= 1.0 {
        let powers = (low.ceil() as i32)..=(high.floor() as i32);
        return powers.map(|power| (power.into(), bytes(power))).collect();
    }
    let step = step((high - low) / 5.0, scale);
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first) as i64;
    let label = |value: f64| match scale {
        Scale::Linear if step >= 1.0 => format!("{value:.0}"),
        Scale::Linear => format!("{value:.digits$}", digits = (-step.log10()).ceil() as usize),
        Scale::Bytes => short(10f64.powf(value)),
    };
    let values = (0..=count).map(|index| (first + index as f64) * step);
    values.map(|value| (value, label(value))).collect()
}

/// The next of 1, 2, 5, 10 … above a width.
fn step(width: f64, scale: Scale) -> f64 {
    let power = 10f64.powf(width.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let found = steps
        .into_iter()
        .find(|step| *step >= width)
        .unwrap_or(power * 10.0);
    match scale {
        Scale::Bytes => found.max(0.1),
        Scale::Linear => found,
    }
}

fn bytes(power: i32) -> String {
    short(10f64.powi(power))
}

/// A number of bytes in at most four digits and a unit.
fn short(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    match value {
        value if value >= 9.95 => format!("{value:.0} {}", units[unit]),
        value => format!("{value:.1} {}", units[unit]).replace(".0 ", " "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plot(scale: Scale, points: Vec<At>) -> Plot {
        Plot {
            title: "A <plot>".into(),
            x: Axis {
                label: "x & y".into(),
                scale,
            },
            y: "accuracy".into(),
            series: vec![Series {
                name: "<line>".into(),
                place: 0,
                points,
            }],
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let labels = |range, scale| -> Vec<String> {
            ticks(range, scale)
                .into_iter()
                .map(|(_, label)| label)
                .collect()
        };
        assert_eq!(
            labels((0.0, 10.0), Scale::Linear),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels((0.61, 0.79), Scale::Linear),
            ["0.65", "0.70", "0.75"]
        );
        assert_eq!(
            labels((4.2, 7.9), Scale::Bytes),
            ["100 kB", "1 MB", "10 MB"]
        );
    }

    #[test]
    fn markup_of_names_is_escaped() {
        let at = At {
            x: 1.0,
            y: 0.5,
            spread: 0.1,
        };
        let svg = plot(Scale::Linear, vec![at]).figure();
        assert!(
            svg.contains("&lt;line&gt;") && !svg.contains("<line>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"band\""));
        let image = plot(Scale::Linear, vec![at]).image("");
        assert!(image.contains("&lt;line&gt;") && !image.contains("<line>"));
        assert!(image.contains("class=\"band\"") && image.ends_with("</svg>\n"));
    }

    proptest! {
        #[test]
        fn every_plot_is_finite(
            points in prop::collection::vec((0f64..1e9, -1f64..1.0, 0f64..0.3), 0..12), is_log: bool,
        ) {
            let points = points.into_iter().map(|(x, y, spread)| At { x, y, spread }).collect();
            let scale = if is_log { Scale::Bytes } else { Scale::Linear };
            let svg = plot(scale, points).figure();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
