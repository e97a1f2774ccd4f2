//! PEFT and transformers use what lpfl writes, and lpfl what PEFT writes, for every architecture.
//!
//! Needs Python with the packages of `tests/golden/requirements.txt`: `cargo xtask test --only
//! interop` looks for it and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fl_core::settings::{LoraSettings, LoraTarget};
use golden::{ALL, MODELS, Measured, Model, Numbers, TOLERANCE, error, table};
use learner::merge::{Merge, Precision};
use learner::peft::{self, PeftAdapter};
use learner::{BaseModel, Learner};

/// Logits of every text, by what was asked.
type Answer = BTreeMap<String, Vec<f32>>;

/// One model, on both sides.
struct Case {
    model: &'static Model,
    base: BaseModel,
    folder: PathBuf,
    ours: Vec<f32>,
    /// With the top layer alone adapted; none where layers share their weights.
    top: Option<Vec<f32>>,
}

#[test]
#[ignore = "needs Python with PyTorch, transformers and PEFT"]
fn peft_and_lpfl_read_each_other() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
    let _ = fs::remove_dir_all(&folder);
    let architectures = MODELS.iter().filter(|model| model.is_of_its_own());
    let cases: Vec<Case> = architectures.map(|model| written(model, &folder)).collect();
    assert!(!cases.is_empty());

    let python = std::env::var_os("LPFL_PYTHON").unwrap_or_else(|| "python3".into());
    let status = Command::new(python)
        .args(["-W", "ignore", "-m", "golden.interop"])
        .arg(&folder)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .env("HF_HUB_OFFLINE", "1")
        .env("TRANSFORMERS_VERBOSITY", "error")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .status();
    assert!(status.unwrap().success(), "Python's side failed");

    let rows: Vec<Measured> = cases.iter().flat_map(compared).collect();
    println!("{}", table(&rows));
    let far: Vec<_> = rows
        .into_iter()
        .filter(|row| row.error > TOLERANCE)
        .collect();
    assert!(far.is_empty(), "beyond {TOLERANCE:e}:\n{}", table(&far));
}

/// Writes the base model, an adapter and the merged model; computes the adapter's logits.
fn written(model: &'static Model, folder: &Path) -> Case {
    let folder = folder.join(model.name);
    let base = model.load();
    let lora = LoraSettings {
        rank: 5,
        alpha: 3.0,
        targets: ALL.to_vec(),
        ..LoraSettings::default()
    };
    let adapter = moved(&base, model, &lora);
    let numbers = Numbers::new(model);

    let files = [
        ("config.json", model.config),
        ("tokenizer.json", model.tokenizer),
    ];
    for part in ["base", "merged"] {
        for (name, bytes) in files {
            write(&folder.join(part).join(name), bytes);
        }
    }
    write(&folder.join("base/model.safetensors"), model.weights);
    write_adapter(&folder.join("ours"), &base, model, &adapter);
    let top = LoraSettings {
        top_layers: Some(1),
        ..lora
    };
    let has_layers = Learner::new(base.clone(), &numbers.task(), &top).is_ok();
    assert_eq!(has_layers, !model.name.contains("albert"), "{}", model.name);
    let top = has_layers.then(|| {
        let adapter = moved(&base, model, &top);
        write_adapter(&folder.join("top"), &base, model, &adapter);
        logits(&base, &numbers, &adapter)
    });
    let merge = Merge::new(&base, &[model.weights], &adapter, Precision::F32).unwrap();
    let pieces: Vec<Vec<u8>> = merge.pieces().map(Result::unwrap).collect();
    write(&folder.join("merged/model.safetensors"), &pieces.concat());

    let ours = logits(&base, &numbers, &adapter);
    Case {
        model,
        base,
        folder,
        ours,
        top,
    }
}

fn write_adapter(folder: &Path, base: &BaseModel, model: &Model, adapter: &PeftAdapter) {
    let config = peft::config(base, &adapter.lora, model.name);
    write(&folder.join(peft::CONFIG), &config);
    write(
        &folder.join(peft::WEIGHTS),
        &peft::weights(&adapter.adapter),
    );
}

/// An adapter in the middle of training: B is not zero.
fn moved(base: &BaseModel, model: &Model, lora: &LoraSettings) -> PeftAdapter {
    let learner = Learner::new(base.clone(), &Numbers::new(model).task(), lora).unwrap();
    let mut adapter = learner.initial_adapter(7);
    let mut count = 0_u32;
    for value in adapter
        .matrices
        .values_mut()
        .flat_map(|matrix| &mut matrix.values)
    {
        count = count.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value += 0.6 * (count as f32 / u32::MAX as f32 - 0.5);
    }
    PeftAdapter {
        base_model: None,
        lora: lora.clone(),
        adapter,
    }
}

/// What PEFT and transformers say of our files, and we of PEFT's.
fn compared(case: &Case) -> Vec<Measured> {
    let answer = fs::read(case.folder.join("answer.json")).unwrap();
    let answer: Answer = serde_json::from_slice(&answer).unwrap();
    let theirs = case.folder.join("theirs");
    let [config, weights] = [peft::CONFIG, peft::WEIGHTS].map(|file| fs::read(theirs.join(file)));
    let adapter = peft::read(&case.base, &config.unwrap(), &weights.unwrap()).unwrap();
    assert!(adapter.lora.targets.contains(&LoraTarget::FeedForwardOut));
    let theirs = logits(&case.base, &Numbers::new(case.model), &adapter);
    let row = |quantity: &str, got: &[f32], expected: &[f32]| Measured {
        model: case.model.name,
        quantity: quantity.into(),
        worst: String::new(),
        error: error(got, expected),
    };
    let top = case.top.iter();
    let top = top.map(|ours| row("our top layer's adapter by PEFT", &answer["top"], ours));
    let mut rows: Vec<Measured> = top.collect();
    rows.extend([
        row("our adapter by PEFT", &answer["ours"], &case.ours),
        row(
            "our merged model by transformers",
            &answer["merged"],
            &case.ours,
        ),
        row("PEFT's adapter by lpfl", &theirs, &answer["theirs"]),
    ]);
    rows
}

fn logits(base: &BaseModel, numbers: &Numbers, adapter: &PeftAdapter) -> Vec<f32> {
    let mut learner = Learner::new(base.clone(), &numbers.task(), &adapter.lora).unwrap();
    learner.load(&adapter.adapter).unwrap();
    let texts: Vec<_> = numbers
        .texts
        .iter()
        .map(|text| learner.encode(text))
        .collect();
    learner.scores(&texts).unwrap().concat()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
