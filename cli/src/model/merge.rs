//! `lpfl model merge`: a base model and an adapter become one model that needs no adapter.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use learner::merge::{Merge, Precision};
use serde_json::Value;
use server::ModelFolder;

use crate::inputs;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Files beside configuration and weights that belong to a model, where it has them.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "generation_config.json",
];

/// Merge an adapter into its base model.
///
/// The result is a model directory that transformers and `lpfl serve --model` read.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of the base model
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// PEFT directory: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Directory to write, which must be new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number format of the weights; f16 is half the size
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Dtype {
    F32,
    F16,
}

impl Dtype {
    fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::F16 => Precision::F16,
        }
    }

    /// What transformers calls it.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
        }
    }
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    check_free(&arguments.out)?;
    let folder = ModelFolder::open(&arguments.model)?;
    let base = folder.load()?;
    let adapter = inputs::adapter(&base, &arguments.adapter)?;
    let files = folder.weights().iter();
    let files: Vec<Vec<u8>> = files
        .map(|name| read(&arguments.model.join(name)))
        .collect::<Result<_>>()?;
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let merge = Merge::new(&base, &files, &adapter, arguments.dtype.precision())?;
    // All that is needed of it is in the plan, and it is as large as the model.
    drop(base);
    let unfinished = neighbour(&arguments.out)?;
    let written = write(&unfinished, &merge, arguments);
    let finished = written.and_then(|()| put_in_place(&unfinished, &arguments.out));
    if finished.is_err() {
        // The cause is what counts.
        let _ = fs::remove_dir_all(&unfinished);
    }
    finished?;
    let megabytes = merge.size() as f64 / 1e6;
    let matrices = adapter.adapter.matrices.len() / 2;
    println!(
        "{}: {matrices} matrices merged, {megabytes:.1} MB of weights",
        arguments.out.display()
    );
    Ok(())
}

/// Refuses to write over anything.
fn check_free(out: &Path) -> Result<()> {
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => bail!(
                "{}: expected a new or empty directory, got one with files; choose another",
                out.display()
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error)
            .with_context(|| format!("{}: expected a new or empty directory", out.display())),
    }
}

/// A directory beside `out`, on the same disk, so that it can be renamed.
fn neighbour(out: &Path) -> Result<PathBuf> {
    let name = out
        .file_name()
        .with_context(|| format!("{}: expected a path that ends with a name", out.display()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".unfinished-{}", std::process::id()));
    Ok(out.with_file_name(hidden))
}

fn write(folder: &Path, merge: &Merge<'_>, arguments: &Arguments) -> Result<()> {
    let failed = |path: &Path| format!("{} cannot be written", path.display());
    fs::create_dir_all(folder).with_context(|| failed(folder))?;
    let config = read(&arguments.model.join(CONFIG))?;
    let path = folder.join(CONFIG);
    fs::write(&path, with_dtype(config, arguments.dtype)).with_context(|| failed(&path))?;
    for name in COPIED {
        let (from, to) = (arguments.model.join(name), folder.join(name));
        if from.is_file() {
            fs::copy(&from, &to).with_context(|| failed(&to))?;
        }
    }
    let path = folder.join(WEIGHTS);
    let file = File::create(&path).with_context(|| failed(&path))?;
    let mut file = BufWriter::new(file);
    for piece in merge.pieces() {
        file.write_all(&piece?).with_context(|| failed(&path))?;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all())
        .with_context(|| failed(&path))
}

fn put_in_place(unfinished: &Path, out: &Path) -> Result<()> {
    // Only an empty directory goes, so nothing that appeared there meanwhile is lost.
    match fs::remove_dir(out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(unfinished, out),
    }
    .with_context(|| format!("{} cannot be put in place", out.display()))
}

/// The configuration with the number format of the merged weights, where it names one: newer
/// transformers load weights in the format that stands there.
fn with_dtype(config: Vec<u8>, dtype: Dtype) -> Vec<u8> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice::<Value>(&config) else {
        return config;
    };
    let mut changed = false;
    for name in ["torch_dtype", "dtype"] {
        if let Some(value) = fields.get_mut(name).filter(|value| **value != dtype.name()) {
            *value = dtype.name().into();
            changed = true;
        }
    }
    match changed {
        true => format!("{:#}\n", Value::Object(fields)).into_bytes(),
        false => config,
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use fl_core::settings::LoraSettings;
    use learner::testing::{Files, Shape, task};
    use learner::{BaseModel, Learner, peft};

    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        files: Files,
    }

    impl Scene {
        /// A model and an adapter that changes it.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::new(Shape::TINY, 1);
            let base = files.load().unwrap();
            let lora = LoraSettings::default();
            let learner = Learner::new(base.clone(), &task(), &lora).unwrap();
            let mut adapter = learner.adapter();
            for matrix in adapter.matrices.values_mut() {
                matrix.values.fill(0.05);
            }
            let put = |path: &str, bytes: &[u8]| {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            };
            put("model/config.json", &files.config);
            put("model/tokenizer.json", &files.tokenizer);
            put("model/vocab.txt", b"words");
            put("model/model.safetensors", &files.weights);
            put("model/optimizer.pt", b"no part of a model");
            put(
                "adapter/adapter_config.json",
                &peft::config(&base, &lora, "model"),
            );
            put(
                "adapter/adapter_model.safetensors",
                &peft::weights(&adapter),
            );
            Self { folder, files }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn merge(&self, dtype: Dtype) -> Result<()> {
            run(&Arguments {
                model: self.path("model"),
                adapter: self.path("adapter"),
                out: self.path("out"),
                dtype,
            })
        }

        fn names(&self, folder: &str) -> Vec<String> {
            let entries = fs::read_dir(self.path(folder)).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn merged_directory_is_a_model() {
        let scene = Scene::new();
        fs::create_dir(scene.path("out")).unwrap();
        scene.merge(Dtype::F32).unwrap();
        let files = [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "vocab.txt",
        ];
        assert_eq!(scene.names("out"), files);
        assert_eq!(scene.names(""), ["adapter", "model", "out"]);
        assert_eq!(
            fs::read(scene.path("out/config.json")).unwrap(),
            scene.files.config
        );
        let weights = fs::read(scene.path("out/model.safetensors")).unwrap();
        let Files {
            config, tokenizer, ..
        } = &scene.files;
        let merged = BaseModel::from_bytes(config, tokenizer, &weights).unwrap();
        let scores = |base| {
            let learner = Learner::new(base, &task(), &LoraSettings::default()).unwrap();
            learner.scores(&[learner.encode("the food")]).unwrap()
        };
        assert_ne!(scores(merged), scores(scene.files.load().unwrap()));
    }

    #[test]
    fn nothing_is_written_over_and_nothing_left_behind() {
        let scene = Scene::new();
        fs::create_dir(scene.path("out")).unwrap();
        fs::write(scene.path("out/mine"), "keep").unwrap();
        let error = scene.merge(Dtype::F16).unwrap_err().to_string();
        assert!(
            error.contains("expected a new or empty directory"),
            "{error}"
        );
        assert_eq!(scene.names("out"), ["mine"]);

        fs::remove_dir_all(scene.path("out")).unwrap();
        fs::write(scene.path("adapter/adapter_config.json"), "{}").unwrap();
        let error = format!("{:#}", scene.merge(Dtype::F16).unwrap_err());
        assert!(error.contains("peft_type"), "{error}");
        assert_eq!(scene.names(""), ["adapter", "model"]);
    }

    #[test]
    fn configuration_names_the_new_number_format() {
        let name = |config: &str, dtype| {
            String::from_utf8(with_dtype(config.as_bytes().to_vec(), dtype)).unwrap()
        };
        let half = name(r#"{"torch_dtype": "float32"}"#, Dtype::F16);
        assert_eq!(half, "{\n  \"torch_dtype\": \"float16\"\n}\n");
        for same in [r#"{"dtype":"float32"}"#, r#"{"a": 1}"#, "no JSON"] {
            assert_eq!(name(same, Dtype::F32), same);
        }
    }
}
