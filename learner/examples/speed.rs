//! Prints how many sequences a second a model trains and scores, and how long a round takes.
//!
//! `cargo run --release -p learner --features testing --example speed [MODEL DIRECTORY]`; without
//! a directory, a random model of 4 × 256. RAYON_NUM_THREADS sets the threads.

use std::path::Path;
use std::time::Instant;

use fl_core::settings::{LoraSettings, RoomSettings, TrainingSettings};
use fl_core::soft_labels::SoftSet;
use fl_core::task::Task;
use learner::testing::{Files, Shape, task};
use learner::{BaseModel, ClientTexts, Encoded, Example, Learner, LocalRound, Step, Trainer};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let directory = std::env::args().nth(1);
    let (base, mut task) = match &directory {
        Some(directory) => (read(Path::new(directory))?, Task::reviews()),
        None => (Files::new(Shape::MINI, 1).load()?, task()),
    };
    task.max_tokens = 64;
    let learner = Learner::new(base, &task, &LoraSettings::default())?;
    let text = |words: usize| "the room was warm and very cold ".repeat(words / 7 + 1);
    let long = learner.encode(&text(100));
    assert_eq!(long.prompts()[0].ids().len(), 64);

    let batch = vec![Example::gold(long.clone(), 1, learner.labels()); 8];
    let mut trainer = Trainer::new(learner.clone(), &TrainingSettings::default(), 1000);
    let train = median(|| Ok(trainer.step(&batch).map(|_| ())?))?;
    println!("training, 8 × 64 tokens: {:.1} sequences/s", 8.0 / train);
    let full = Learner::full(learner.base().clone(), &task)?;
    let mut trainer = Trainer::new(full, &TrainingSettings::default(), 1000);
    let train = median(|| Ok(trainer.step(&batch).map(|_| ())?))?;
    println!("training every parameter: {:.1} sequences/s", 8.0 / train);
    let texts = vec![long; 16];
    let score = median(|| Ok(learner.scores(&texts).map(|_| ())?))?;
    println!("scoring, 16 × 64 tokens: {:.1} sequences/s", 16.0 / score);

    let settings = RoomSettings {
        task,
        ..RoomSettings::default()
    };
    let short = |seed: usize| -> Encoded { learner.encode(&text(14 + seed % 14)) };
    let texts = ClientTexts {
        gold: (0..8).map(|index| (short(index), index % 2)).collect(),
        unlabelled: (0..48).map(short).collect(),
    };
    for number in [1, 3, 5] {
        let start = Instant::now();
        let soft = SoftSet::default();
        let learner = learner.clone();
        let mut round = LocalRound::new(learner, &settings, number, 0, &texts, soft)?;
        let (mut pieces, mut longest) = (0, 0.0f64);
        let outcome = loop {
            let piece = Instant::now();
            let step = round.step()?;
            pieces += 1;
            longest = longest.max(piece.elapsed().as_secs_f64());
            if let Step::Finished(outcome) = step {
                break outcome;
            }
        };
        println!(
            "round {number}: {:.2} s in {pieces} pieces, the longest {:.0} ms; {} gold, {} soft, loss {:.3} to {:.3}",
            start.elapsed().as_secs_f64(),
            longest * 1e3,
            outcome.gold,
            outcome.soft,
            outcome.loss_first,
            outcome.loss_last,
        );
    }
    Ok(())
}

fn read(directory: &Path) -> Result<BaseModel, Error> {
    let file = |name: &str| std::fs::read(directory.join(name));
    let (config, tokenizer) = (file("config.json")?, file("tokenizer.json")?);
    let start = Instant::now();
    let base = BaseModel::from_bytes(&config, &tokenizer, &file("model.safetensors")?)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} parameters read in {seconds:.2} s", base.parameters());
    Ok(base)
}

/// Seconds of the median run of 21, after three to warm up.
fn median(mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut seconds = Vec::new();
    for index in 0..24 {
        let start = Instant::now();
        run()?;
        if index >= 3 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
