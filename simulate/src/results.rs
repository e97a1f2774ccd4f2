//! What an experiment leaves: `results.json`, `rounds.csv`, `report.html`, `report.md`, plots and
//! summary rows.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use fl_core::task::Task;
use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::write_whole;
use crate::error::{Result, SimulateError};
use crate::experiment::Experiment;
use crate::figures::{RoundFigures, RunFigures};
use crate::materials::{Corpus, Materials};
use crate::plan::{Plan, Point};
use crate::report;

/// The header of a summary.
pub const SUMMARY: [&str; 10] = [
    "experiment",
    "data",
    "method",
    "soft_labels",
    "partition",
    "gold_per_client",
    "seed",
    "accuracy",
    "macro_f1",
    "upload_bytes",
];

/// Everything that came of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The experiment's name.
    pub experiment: String,
    /// Version of the program.
    pub version: &'static str,
    /// The points of the grid; one where nothing is swept.
    pub points: Vec<PointResults>,
}

/// What came of one point.
#[derive(Clone, Debug, Serialize)]
pub struct PointResults {
    /// Its place on each axis.
    pub place: Vec<(String, String)>,
    /// Its settings, exactly.
    pub settings: Experiment,
    /// The task, resolved.
    pub task: Task,
    /// Labelled training texts that there were.
    pub train_texts: usize,
    /// Texts of the evaluations.
    pub evaluated_texts: usize,
    /// Parameters of the base model.
    pub model_parameters: u64,
    /// Mean milliseconds of a run, its evaluations included.
    pub wall_ms: u64,
    /// Its runs, in the order of the seeds.
    pub runs: Vec<RunFigures>,
    /// Its folder below that of the plan.
    #[serde(skip)]
    pub folder: String,
}

impl PointResults {
    pub(crate) fn new(
        point: &Point,
        materials: &Materials,
        corpus: &Corpus,
        runs: Vec<RunFigures>,
    ) -> Self {
        let rounds = runs.iter().flat_map(|run| &run.rounds);
        let wall_ms: u64 = rounds.map(|round| round.wall_ms).sum();
        Self {
            place: point.place.clone(),
            settings: point.experiment.clone(),
            task: materials.task.clone(),
            train_texts: corpus.train.len(),
            evaluated_texts: corpus.held_out.len(),
            model_parameters: materials.base.parameters(),
            wall_ms: wall_ms / runs.len().max(1) as u64,
            runs,
            folder: point.folder(),
        }
    }

    /// What it is called beside others: its place, or its method.
    pub(crate) fn label(&self) -> String {
        let values: Vec<&str> = self.place.iter().map(|(_, value)| value.as_str()).collect();
        match values.is_empty() {
            true => self.settings.method.name().into(),
            false => values.join(" · "),
        }
    }

    /// The last accuracy of each run.
    pub(crate) fn accuracies(&self) -> Vec<f64> {
        let last = self.runs.iter().filter_map(RunFigures::last);
        last.map(|last| f64::from(last.accuracy)).collect()
    }

    fn on_off(&self) -> &'static str {
        match self.settings.has_soft_labels() {
            true => "on",
            false => "off",
        }
    }
}

impl Results {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            experiment: plan.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            points: Vec::new(),
        }
    }

    /// The results of one point by themselves.
    pub(crate) fn with(&self, point: PointResults) -> Self {
        Self {
            points: vec![point],
            ..self.clone()
        }
    }

    /// Writes every file into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let json = folder.join("results.json");
        let content = serde_json::to_vec_pretty(self);
        let content = content.map_err(|error| SimulateError::file(&json, error))?;
        write_whole(&json, &content)?;
        write_whole(&folder.join("rounds.csv"), self.rounds()?.as_bytes())?;
        write_whole(&folder.join("report.html"), report::page(self).as_bytes())?;
        write_whole(&folder.join("report.md"), self.tables().as_bytes())?;
        let plots = folder.join("plots");
        fs::create_dir_all(&plots)
            .and_then(|()| remove_images(&plots))
            .map_err(|error| SimulateError::file(&plots, error))?;
        for (name, image) in report::images(self) {
            write_whole(&plots.join(name), image.as_bytes())?;
        }
        self.append_summary(&folder.join("summary.csv"))
    }

    /// The last figures as Markdown: the accuracy over the last two axes, or all figures where there
    /// are fewer; mean and standard deviation over the seeds.
    pub fn tables(&self) -> String {
        report::tables(self)
    }

    /// Adds a row for each run to a summary; a row that is there already is not added again.
    ///
    /// # Errors
    /// A file that is no summary, or cannot be written.
    pub fn append_summary(&self, path: &Path) -> Result<()> {
        let failed = |error| SimulateError::file(path, error);
        let options = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        let mut file = options.map_err(failed)?;
        // Another experiment may be adding its rows.
        file.lock().map_err(failed)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let known = summary_of(path, content)?;
        let mut added = match known.as_str() {
            "" => summary_header()?,
            known if !known.ends_with('\n') => "\n".into(),
            _ => String::new(),
        };
        for line in csv_lines(self.summary())?.lines() {
            if !known.lines().any(|known| known == line) {
                added.push_str(line);
                added.push('\n');
            }
        }
        file.write_all(added.as_bytes()).map_err(failed)
    }

    /// A row for each run.
    fn summary(&self) -> Vec<Vec<String>> {
        let row = |point: &PointResults, run: &RunFigures| {
            let last = run.last();
            let experiment = match point.folder.as_str() {
                "" => self.experiment.clone(),
                folder => format!("{}/{folder}", self.experiment),
            };
            let figure = |value: Option<f32>| value.map_or(String::new(), |v| format!("{v:.4}"));
            vec![
                experiment,
                point.settings.data.title(),
                point.settings.method.name().into(),
                point.on_off().into(),
                point.settings.partition_name(),
                point.settings.deal.gold.to_string(),
                run.seed.to_string(),
                figure(last.map(|last| last.accuracy)),
                figure(last.map(|last| last.macro_f1)),
                run.update_bytes().to_string(),
            ]
        };
        let of_point = |point: &PointResults| -> Vec<Vec<String>> {
            point.runs.iter().map(|run| row(point, run)).collect()
        };
        self.points.iter().flat_map(of_point).collect()
    }

    /// A row for each round of each run.
    fn rounds(&self) -> Result<String> {
        let axes = self.points.first().map_or(&[][..], |point| &point.place);
        let mut rows = vec![
            axes.iter()
                .map(|(axis, _)| axis.clone())
                .chain(ROUNDS.map(str::to_owned))
                .collect::<Vec<_>>(),
        ];
        for point in &self.points {
            for run in &point.runs {
                let (mut up, mut down) = (0, 0);
                for round in &run.rounds {
                    (up, down) = (up + round.bytes_up, down + round.bytes_down);
                    let place = point.place.iter().map(|(_, value)| value.clone());
                    rows.push(place.chain(cells(run.seed, round, up, down)).collect());
                }
            }
        }
        csv_lines(rows)
    }
}

/// Checks that rows can be added to a summary, before there are any.
///
/// # Errors
/// A file that is no summary or cannot be read, or a folder that is not there.
pub fn check_summary(path: &Path) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let message = "expected a folder for the summary, got none; make it";
        return Err(SimulateError::file(folder, message));
    }
    if !path.exists() {
        return Ok(());
    }
    let content = fs::read(path).map_err(|error| SimulateError::file(path, error))?;
    summary_of(path, content).map(drop)
}

/// A file's content, which is a summary's, or nothing.
fn summary_of(path: &Path, content: Vec<u8>) -> Result<String> {
    let header = summary_header()?;
    match String::from_utf8(content) {
        Ok(content) if content.is_empty() || content.starts_with(&header) => Ok(content),
        _ => {
            let header = header.trim_end();
            let message = format!("expected a summary with the header {header}; name another file");
            Err(SimulateError::file(path, message))
        }
    }
}

fn summary_header() -> Result<String> {
    csv_lines([SUMMARY.map(str::to_owned).to_vec()])
}

/// What results replace in their folder.
const REPLACED: [&str; 5] = [
    "results.json",
    "rounds.csv",
    "report.html",
    "report.md",
    "plots",
];

/// Refuses a folder with files that results would replace and no experiment has written.
///
/// # Errors
/// The first such file.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    let found = |name: &str| folder.join(name).exists();
    let json = fs::read(folder.join("results.json")).unwrap_or_default();
    let results: Value = serde_json::from_slice(&json).unwrap_or_default();
    // An experiment writes results.json first.
    let is_ours = results["experiment"].is_string() && results["points"].is_array();
    match REPLACED.into_iter().find(|name| found(name)) {
        Some(name) if !is_ours => {
            let message = "no experiment wrote this; name another --out";
            Err(SimulateError::file(&folder.join(name), message))
        }
        _ if found("summary.csv") => check_summary(&folder.join("summary.csv")),
        _ => Ok(()),
    }
}

/// Removes what an earlier run left, which may have had other plots.
fn remove_images(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The columns of `rounds.csv` behind those of the axes.
const ROUNDS: [&str; 25] = [
    "seed",
    "round",
    "attempts",
    "selected",
    "reported",
    "gold",
    "soft",
    "loss",
    "soft_precision",
    "soft_coverage",
    "soft_confidence",
    "soft_agreement",
    "bytes_up",
    "bytes_down",
    "bytes_up_total",
    "bytes_down_total",
    "update_bytes",
    "aggregation_error",
    "relative_aggregation_error",
    "virtual_ms",
    "wall_ms",
    "accuracy",
    "macro_f1",
    "evaluation_loss",
    "worst_client",
];

fn cells(seed: u32, round: &RoundFigures, up: u64, down: u64) -> [String; ROUNDS.len()] {
    let figure = |value: Option<f32>| value.map_or(String::new(), |value| value.to_string());
    let error = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let soft = round.soft_labels.as_ref();
    let evaluation = round.evaluation.as_ref();
    [
        seed.to_string(),
        round.round.to_string(),
        round.attempts.to_string(),
        round.selected.to_string(),
        round.reported.to_string(),
        round.gold.to_string(),
        round.soft.to_string(),
        figure(round.loss),
        figure(soft.map(|soft| soft.precision)),
        figure(soft.map(|soft| soft.coverage)),
        figure(soft.map(|soft| soft.confidence)),
        figure(soft.and_then(|soft| soft.agreement)),
        round.bytes_up.to_string(),
        round.bytes_down.to_string(),
        up.to_string(),
        down.to_string(),
        round.update_bytes.to_string(),
        error(round.aggregation_error),
        error(round.relative_aggregation_error),
        round.virtual_ms.to_string(),
        round.wall_ms.to_string(),
        figure(evaluation.map(|evaluation| evaluation.accuracy)),
        figure(evaluation.map(|evaluation| evaluation.macro_f1)),
        figure(evaluation.map(|evaluation| evaluation.loss)),
        figure(evaluation.and_then(|evaluation| evaluation.worst_client)),
    ]
}

fn csv_lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| SimulateError::Wire(error.to_string());
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
