//! `lpfl evaluate`.

use fl_core::adapter::Adapter;
use fl_core::task::{Calibration, Task};
use learner::testing::{self, Files, Shape, toy_texts};
use learner::{Encoded, Learner, peft};
use serde_json::{Value, json};

use crate::folder::{Folder, TASK, errors};

const RUN: &str = "evaluate --model model --task task.toml --data texts.csv";

fn predicted(report: &Value, label: usize) -> u64 {
    let rows = report["confusion"].as_array().unwrap();
    rows.iter().map(|row| row[label].as_u64().unwrap()).sum()
}

#[test]
fn one_object_holds_the_figures() {
    let report = Folder::new().json(RUN);
    assert_eq!(report["count"], 80);
    assert_eq!(report["labels"], json!(["negative", "positive"]));
    assert_eq!(report["calibration"], "none");
    let confusion = |t: usize, p: usize| report["confusion"][t][p].as_f64().unwrap();
    let right = (confusion(0, 0) + confusion(1, 1)) / 80.0;
    assert!((report["accuracy"].as_f64().unwrap() - right).abs() < 1e-6);
    assert!(report["loss"].as_f64().unwrap() > 0.0);
    assert!(report["macro_f1"].as_f64().unwrap() <= 1.0);
}

#[test]
fn calibration_is_that_of_the_file_or_the_flag() {
    let folder = Folder::new();
    assert_ne!(predicted(&folder.json(RUN), 1), 40);
    let flag = folder.json(&format!("{RUN} --calibrate unlabelled"));
    assert!(predicted(&flag, 1).abs_diff(40) <= 1);
    folder.write("task.toml", format!("calibration = \"unlabelled\"\n{TASK}"));
    assert_eq!(folder.json(RUN), flag);
    let free = folder.json(&format!("{RUN} --calibrate content-free"));
    assert_eq!(free["calibration"], "content_free");
    assert_ne!(free["loss"], flag["loss"]);
}

#[test]
fn an_adapter_changes_the_figures_but_not_the_prior() {
    let folder = Folder::new();
    let base = Files::new(Shape::TINY, 21).load().unwrap();
    let task = testing::task();
    let learner = Learner::new(base.clone(), &task, &testing::lora()).unwrap();
    let mut adapter = learner.initial_adapter(1);
    let adapt = |folder: &Folder, adapter: &Adapter| {
        folder.write(
            "adapter_config.json",
            peft::config(&base, &testing::lora(), "model"),
        );
        folder.write("adapter_model.safetensors", peft::weights(adapter));
    };
    let run = format!("{RUN} --calibrate content-free");
    let with = format!("{run} --adapter .");
    adapt(&folder, &adapter);
    assert_eq!(folder.json(&with), folder.json(&run));
    for (name, matrix) in &mut adapter.matrices {
        if name.contains("lora_B") {
            matrix.values.fill(0.3);
        }
    }
    adapt(&folder, &adapter);
    let adapted = folder.json(&with);
    assert_ne!(adapted["loss"], folder.json(&run)["loss"]);

    let file = Task {
        patterns: ["{text} it was {mask} .", "very {mask} : {text}"]
            .map(String::from)
            .into(),
        calibration: Calibration::ContentFree,
        ..task.clone()
    };
    let mut expected = Learner::new(base, &file, &testing::lora()).unwrap();
    expected.calibrate(expected.prior(&[]).unwrap()).unwrap();
    expected.load(&adapter).unwrap();
    let texts = toy_texts(80, 1);
    let labels: Vec<usize> = texts.iter().map(|(_, label)| *label).collect();
    let texts: Vec<Encoded> = texts
        .iter()
        .map(|(text, _)| expected.encode(text))
        .collect();
    let loss = f64::from(expected.evaluate(&texts, &labels).unwrap().loss);
    assert!((adapted["loss"].as_f64().unwrap() - loss).abs() < 1e-5);

    folder.write("adapter_config.json", "{}");
    let error = folder.failure(&with);
    assert!(
        error.contains("does not fit the model: adapter_config.json"),
        "{error}"
    );
}

#[test]
fn rows_that_do_not_count_are_told() {
    let folder = Folder::new();
    folder.write(
        "texts.csv",
        "text,label\nwarm food,1\ncold room,\n,0\nfine,worse\n",
    );
    let output = folder.lpfl(RUN);
    assert!(errors(&output).contains("texts.csv, line 5: expected a label of"));
    let report = folder.json(RUN);
    assert_eq!(
        (&report["count"], &report["left_out"]),
        (&json!(1), &json!(3))
    );
}

#[test]
fn a_shipped_task_is_known_by_its_name() {
    let folder = Folder::new();
    let run = RUN.replace("task.toml", "reviews");
    folder.write("texts.csv", "text,label\nwarm food,positive\n");
    assert_eq!(folder.json(&run)["task"], "Reviews");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = Folder::new();
    let error = folder.failure(&RUN.replace("model model", "model nowhere"));
    assert!(error.contains("nowhere: expected a directory"), "{error}");
    let error = folder.failure(&RUN.replace("texts.csv", "nowhere.csv"));
    assert!(error.contains("nowhere.csv: name a CSV"), "{error}");
    folder.write("texts.csv", "text\nwarm food\n");
    let error = folder.failure(RUN);
    assert!(
        error.contains("texts.csv: expected texts with a label"),
        "{error}"
    );
    folder.write("texts.csv", "review,label\nwarm food,1\n");
    let error = folder.failure(RUN);
    assert!(error.contains("expected a column \"text\""), "{error}");
    folder.write("texts.csv", "text,label\nwarm food,1\n");
    folder.write("task.toml", TASK.replace("great", "greatest"));
    let error = folder.failure(RUN);
    assert!(
        error.contains("task.toml: label positive: expected a word of one token"),
        "{error}"
    );
    folder.write("model/model.safetensors", "short");
    assert!(
        folder
            .failure(RUN)
            .contains("model: model.safetensors cannot be read")
    );
    let usage = folder.lpfl("evaluate --model model");
    assert_eq!(usage.status.code(), Some(2));
}
