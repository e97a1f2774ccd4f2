//! Plans from files and flags.

use fl_core::settings::TrainingSettings;

use super::*;
use crate::experiment::Method;

const FILE: &str = r#"rounds = 3

[training]
epochs = 2

[[cases.set]]
name = "one"
data = "reviews"

[[cases.set]]
name = "two"
data = "news"
task = "news"
training.epochs = 5

[sweep]
method = ["lp-fl", "fp-fl"]
"#;

fn plan(text: &str, sets: &[&str], sweeps: &[&str]) -> Result<Plan, String> {
    let document = Document::new("folder/few.toml", text.as_bytes()).unwrap();
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    Plan::new(&document, &owned(sets), &owned(sweeps)).map_err(|error| error.to_string())
}

#[test]
fn a_plain_file_is_one_point() {
    let plan = plan("rounds = 3", &[], &[]).unwrap();
    assert_eq!((plan.name.as_str(), plan.points.len()), ("few", 1));
    assert_eq!(plan.points[0].folder(), "");
    assert_eq!(plan.points[0].experiment.rounds, 3);
}

#[test]
fn cases_and_sweeps_make_a_grid() {
    let plan = plan(FILE, &[], &[]).unwrap();
    let folders: Vec<String> = plan.points.iter().map(Point::folder).collect();
    let expected = [
        "set=one+method=lp-fl",
        "set=one+method=fp-fl",
        "set=two+method=lp-fl",
        "set=two+method=fp-fl",
    ];
    assert_eq!(folders, expected);
    let last = &plan.points[3].experiment;
    assert_eq!((last.training.epochs, last.method), (5, Method::FpFl));
    assert_eq!(plan.points[0].experiment.training.epochs, 2);
}

#[test]
fn flags_pick_cases_replace_sweeps_and_set_on_top() {
    let plan = plan(
        FILE,
        &["training.epochs=7"],
        &["set=two", "method=local", "lora.rank=2,4"],
    )
    .unwrap();
    let folders: Vec<String> = plan.points.iter().map(Point::folder).collect();
    assert_eq!(
        folders,
        ["set=two+method=local+rank=2", "set=two+method=local+rank=4"]
    );
    assert_eq!(plan.points[1].experiment.training.epochs, 7);
    assert_eq!(plan.points[1].experiment.lora.rank, 4);
    let set = super::tests::plan(FILE, &["method=local"], &["set=one"]).unwrap();
    assert_eq!(set.points.len(), 1);
}

#[test]
fn a_case_may_set_what_holds_only_with_another() {
    const FILE: &str = r#"
[[cases.set]]
name = "one"

[[cases.set]]
name = "two words"
training.epochs = 5

[[cases.method]]
name = "slow"
training = { learning_rate = 0.1, epochs = 1 }
when.set."two words" = { training.learning_rate = 0.2 }

[[cases.method]]
name = "fast"
training.learning_rate = 0.4
"#;
    let settings = |sets: &[&str], sweeps: &[&str]| -> Vec<(f32, u32)> {
        let plan = plan(FILE, sets, sweeps).unwrap();
        let training = plan.points.iter().map(|point| &point.experiment.training);
        training.map(|t| (t.learning_rate, t.epochs)).collect()
    };
    let usual = TrainingSettings::default().epochs;
    let all = settings(&[], &[]);
    assert_eq!(all, [(0.1, 1), (0.4, usual), (0.2, 1), (0.4, 5)]);
    assert_eq!(settings(&[], &["set=one", "method=slow"]), [(0.1, 1)]);
    let flags = ["set=two words", "method=slow"];
    assert_eq!(
        settings(&["training.learning_rate=0.3"], &flags),
        [(0.3, 1)]
    );
    let swept = [&flags[..], &["training.learning_rate=0.5"]].concat();
    assert_eq!(settings(&[], &swept), [(0.5, 1)]);
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    for (text, sets, sweeps, expected) in [
        (
            "roundz = 3",
            &[][..],
            &[][..],
            "folder/few.toml, line 1: unknown field `roundz`",
        ),
        (
            "[training]\nepochs = 0",
            &[],
            &[],
            "folder/few.toml, line 2, training.epochs: expected 1 to 100, got 0",
        ),
        (
            "[deal]\npartition = { by = \"iid\", alpha = 0.5 }",
            &[],
            &[],
            "folder/few.toml, line 2, deal.partition.alpha: expected no such field where by = \"iid\", got 0.5",
        ),
        (
            "",
            &["training.epochs=0"],
            &[],
            "--set training.epochs=0, training.epochs: expected 1",
        ),
        (
            "",
            &["roundz=1"],
            &[],
            "--set roundz=1: unknown field `roundz`",
        ),
        ("", &["roundz"], &[], "--set roundz: expected key=value"),
        (
            "",
            &[],
            &["lora.rank=1,0"],
            "--sweep lora.rank=0, lora.rank: expected 1 to 256, got 0",
        ),
        (
            "",
            &[],
            &["lora.rank"],
            "--sweep lora.rank: expected key=value,value,…",
        ),
        (
            FILE,
            &[],
            &["set=three"],
            "--sweep set=three: expected cases of one, two, got three",
        ),
        (
            "[[cases.a]]\nname = \"x\"\ntraining.epochs = 0",
            &[],
            &[],
            "folder/few.toml, line 3, cases.a[0].training.epochs: expected 1 to 100",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nroundz = 0",
            &[],
            &[],
            "folder/few.toml, line 1, cases.a[0]: unknown field `roundz`",
        ),
        ("[[cases.a]]\nrounds = 1", &[], &[], "each with a name"),
        (
            "[[cases.a]]\nname = \"x\"\nwhen.a.y.rounds = 3",
            &[],
            &[],
            "folder/few.toml, line 3, cases.a[0].when.a.y: expected cases of x, got y",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nwhen.b.x.rounds = 3",
            &[],
            &[],
            "cases.a[0].when.b.x: expected an axis of a, got b",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nwhen.a = 3",
            &[],
            &[],
            "folder/few.toml, line 3, cases.a[0].when.a: expected when.AXIS.CASE with settings",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nwhen.a.x.training.epochs = 0",
            &[],
            &[],
            "folder/few.toml, line 3, cases.a[0].when.a.x.training.epochs: expected 1 to 100",
        ),
        (
            "sweep.rounds = 3",
            &[],
            &[],
            "expected a list of values for rounds",
        ),
        (
            "[[cases.a]]\nname = \"5 %\"\n[[cases.a]]\nname = \"5 -\"\nrounds = 4",
            &[],
            &[],
            "folder/few.toml, line 4, cases.a[1].name: 5 - and 5 % share the folder a=5--; rename one",
        ),
        (
            "[[cases.a]]\nname = \"\"",
            &[],
            &[],
            "line 2, cases.a[0].name: expected a name, got none",
        ),
        (
            "",
            &[],
            &["lora.rank=2,2"],
            "--sweep lora.rank=2: expected each value of lora.rank once, got 2 twice",
        ),
        (
            "",
            &["lora.rank=8"],
            &["lora.rank=2,4"],
            "--sweep lora.rank=2,4: lora.rank is set by --set lora.rank=8 too",
        ),
        ("", &["sweep.rounds=[1]"], &[], "expected a setting"),
        (
            "",
            &[],
            &["name=a,b"],
            "--sweep name=a,b: expected a setting",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nsweep.rounds = [1]",
            &[],
            &[],
            "line 3, cases.a[0].sweep: a case has no sweep",
        ),
        (
            "",
            &[],
            &[
                "rounds=1,2,3,4,5,6,7,8,9,10,11",
                "clients=1,2,3,4,5,6,7,8,9,10,11",
                "lora.rank=1,2,3,4,5,6,7,8,9,10,11",
                "deal.gold=1,2,3,4,5,6,7,8,9,10,11",
            ],
            "expected a grid of at most 10000 points, got 14641",
        ),
        (
            "[training]\nlearning_rate = -1.0\n[[cases.a]]\nname = \"x\"\ntraining.epochs = 2",
            &[],
            &[],
            "folder/few.toml, line 2, training.learning_rate: expected",
        ),
        (
            "rounds = 0",
            &["round={minimum=1}"],
            &[],
            "folder/few.toml, line 1, rounds: expected",
        ),
        (
            "[[cases.a]]\nname = \"x\"\nrounds = 2\n[[cases.b]]\nname = \"y\"\ntraining.epoch = 2",
            &[],
            &[],
            "few.toml, line 4, cases.b[0]: unknown field `epoch`",
        ),
        (
            "[deal]\npartition = \"iid\"",
            &[],
            &[],
            "expected a table such as { by = \"…\" } for Partition",
        ),
        (
            "round.sample = \"abc\"",
            &[],
            &[],
            "line 1: expected a number of clients, or a share of them such as 0.1",
        ),
        (
            "aggregation.rule = { by = \"krum\", attackers = 2 }",
            &[],
            &[],
            "line 1, aggregation.rule: expected a rule for the 5 updates that a round has, or more \
             clients in it, because krum needs 7, got krum",
        ),
        (
            "method = \"fp-fl\"\naggregation.measure_error = \"each_round\"",
            &[],
            &[],
            "line 2, aggregation.measure_error: expected off, because the method is fp-fl",
        ),
        (
            "data = \"news\"",
            &["data.train=a.csv"],
            &[],
            "expected a bundled corpus, or train and test, got neither",
        ),
        (
            "data.corpus = \"news\"",
            &["data.train=a.csv"],
            &[],
            "expected a bundled corpus, or files as data = { train = …, test = … }, got both",
        ),
    ] {
        let message = plan(text, sets, sweeps).unwrap_err();
        assert!(message.contains(expected), "{message}\n{expected}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_key_beside_a_word_keeps_what_the_word_says() {
    let text = "data = \"news\"\ntask = \"ratings\"\nsoft_labels = \"off\"";
    let sets = [
        "data.test_texts=10",
        "task.max_tokens=100",
        "soft_labels.weight=0.5",
        "name=mine",
    ];
    let plan = plan(text, &sets, &[]).unwrap();
    let experiment = &plan.points[0].experiment;
    assert_eq!(plan.name, "mine");
    assert_eq!(experiment.data.corpus.as_deref(), Some("news"));
    assert_eq!(experiment.data.test_texts, 10);
    assert_eq!(experiment.task["from"].as_str(), Some("ratings"));
    assert!(!experiment.has_soft_labels());
    let usual = super::tests::plan("", &["data.test_texts=10"], &[]).unwrap();
    assert_eq!(
        usual.points[0].experiment.data.corpus.as_deref(),
        Some("reviews")
    );
}

#[test]
fn shipped_experiments_are_plans() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    assert!(files.len() >= 6);
    for file in files {
        let plan = Plan::new(&Document::open(&file).unwrap(), &[], &[]).unwrap();
        let folders: std::collections::BTreeSet<_> =
            plan.points.iter().map(Point::folder).collect();
        assert_eq!(folders.len(), plan.points.len(), "{}", file.display());
        assert!(plan.points.len() > 1);
    }
}
