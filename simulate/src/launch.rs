//! Carries out a plan: checks all of it, then runs what is not done yet.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::{self, check_settings, write_whole};
use crate::error::{Result, SimulateError};
use crate::figures::RunFigures;
use crate::materials::{Corpus, Materials};
use crate::plan::{Plan, Point};
use crate::results::{self, PointResults, Results};
use crate::run::Run;
use crate::scene::{self, Scene};
use crate::workers::Workers;

/// Gives a point its model, task and texts.
pub trait Loader {
    /// Reads what the point names.
    ///
    /// # Errors
    /// Whatever cannot be read, in one line.
    fn load(&mut self, point: &Point) -> Result<Materials>;
}

/// Hears how far the work is.
pub trait Observer: Sync {
    /// So many rounds are to be done in all.
    fn begin(&self, rounds: u64);
    /// One run begins or goes on, with so many rounds done.
    fn resumed(&self, rounds: u64);
    /// A run has done one more round.
    fn advanced(&self);
}

/// Runs a whole plan; what `out` already holds of it is not run again.
///
/// # Errors
/// The first thing that is wrong in any point, before anything long starts; then whatever stops a
/// run. What was done till then is kept.
pub fn launch(
    plan: &Plan,
    out: &Path,
    workers: &Workers,
    loader: &mut dyn Loader,
    observer: &dyn Observer,
) -> Result<Results> {
    results::check_folder(out)?;
    for point in &plan.points {
        let materials = loader.load(point)?;
        let corpus = Corpus::new(point, &materials)?;
        scene::check(point, &materials, &corpus)?;
        let folder = out.join(point.folder());
        results::check_folder(&folder)?;
        check_runs(&folder.join("runs"), &settings(point, &materials, &corpus))?;
    }
    for point in &plan.points {
        let runs = out.join(point.folder()).join("runs");
        fs::create_dir_all(&runs).map_err(|error| SimulateError::file(&runs, error))?;
    }
    let rounds = |point: &Point| point.rounds() * point.experiment.seeds.len() as u64;
    observer.begin(plan.points.iter().map(rounds).sum());
    let mut results = Results::new(plan);
    for point in &plan.points {
        let materials = loader.load(point)?;
        let folder = out.join(point.folder());
        let done = run_point(point, &materials, &folder, workers, observer)?;
        if !point.place.is_empty() {
            results.with(done.clone()).write(&folder)?;
        }
        results.points.push(done);
    }
    results.write(out)?;
    Ok(results)
}

impl Point {
    /// Rounds of one of its runs, the evaluation before the first one included.
    fn rounds(&self) -> u64 {
        match self.experiment.method {
            crate::experiment::Method::ZeroShot => 1,
            _ => u64::from(self.experiment.rounds) + 1,
        }
    }
}

fn run_point(
    point: &Point,
    materials: &Materials,
    folder: &Path,
    workers: &Workers,
    observer: &dyn Observer,
) -> Result<PointResults> {
    let corpus = Corpus::new(point, materials)?;
    let settings = settings(point, materials, &corpus);
    let runs = folder.join("runs");
    let seeds = &point.experiment.seeds;
    let run = |seed: u32| {
        run_seed(
            point, materials, &corpus, &settings, &runs, seed, workers, observer,
        )
    };
    let runs = side_by_side(seeds, workers.threads(), run)?;
    Ok(PointResults::new(point, materials, &corpus, runs))
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller, and every value is another thing"
)]
fn run_seed(
    point: &Point,
    materials: &Materials,
    corpus: &Corpus,
    settings: &Value,
    runs: &Path,
    seed: u32,
    workers: &Workers,
    observer: &dyn Observer,
) -> Result<RunFigures> {
    let done = runs.join(format!("seed-{seed}.json"));
    let state = runs.join(format!("seed-{seed}.checkpoint"));
    if let Some(figures) = read_done(&done, settings)? {
        observer.resumed(point.rounds());
        return Ok(figures);
    }
    let scene = Scene::new(point, materials, corpus, seed, workers)?;
    let run = Run::open(scene, settings.clone(), &state, workers)?;
    observer.resumed(run.done());
    let figures = run.finish(&|| observer.advanced())?;
    let content = json!({"settings": settings, "figures": figures});
    let content = serde_json::to_vec_pretty(&content);
    let content = content.map_err(|error| SimulateError::file(&done, error))?;
    write_whole(&done, &content)?;
    // The figures are safe: without it the run would only be read twice.
    let _ = fs::remove_file(&state);
    Ok(figures)
}

/// Refuses a folder in which any run, done or not, is one of other settings.
fn check_runs(runs: &Path, settings: &Value) -> Result<()> {
    let Ok(entries) = fs::read_dir(runs) else {
        // A folder that is not there holds none; one that cannot be read cannot be written either.
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => drop(read_done(&path, settings)?),
            Some("checkpoint") => drop(checkpoint::read(&path, settings)?),
            _ => {}
        }
    }
    Ok(())
}

/// The figures of a run that is done.
fn read_done(path: &Path, settings: &Value) -> Result<Option<RunFigures>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| SimulateError::file(path, error))?;
    let broken = |_| {
        let message = "expected a run's figures of this version, got other bytes; delete it";
        SimulateError::file(path, message)
    };
    let mut content: Value = serde_json::from_slice(&bytes).map_err(broken)?;
    check_settings(path, &content["settings"], settings)?;
    serde_json::from_value(content["figures"].take())
        .map(Some)
        .map_err(broken)
}

/// What a run hangs on beside its seed: a run is gone on with only where all of it is the same.
fn settings(point: &Point, materials: &Materials, corpus: &Corpus) -> Value {
    let mut settings = as_written(&point.experiment);
    if let Some(settings) = settings.as_object_mut() {
        // Neither says how a run goes.
        settings.remove("name");
        settings.remove("seeds");
        // The task as it was resolved stands for its name.
        settings.insert("task".into(), as_written(&materials.task));
        settings.insert("texts".into(), corpus.fingerprint().into());
        settings.insert(
            "model_digest".into(),
            materials.model_digest.as_str().into(),
        );
    }
    settings
}

/// As a file gives it back: numbers with the digits that they are written with.
fn as_written(settings: &impl Serialize) -> Value {
    let text = serde_json::to_string(settings).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The runs of all seeds, as many at once as there are threads, in the order of the seeds.
fn side_by_side(
    seeds: &[u32],
    threads: usize,
    run: impl Fn(u32) -> Result<RunFigures> + Sync,
) -> Result<Vec<RunFigures>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = run(seed);
            let failed = result.is_err();
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.push((seed, result));
            if failed {
                // The others end at their next seed.
                next.store(seeds.len(), Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(seeds.len()) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |seed: u32| seeds.iter().position(|known| *known == seed);
    found.sort_by_key(|(seed, _)| place(*seed));
    found.into_iter().map(|(_, result)| result).collect()
}
