//! Experiment files.

use super::*;

fn read(text: &str) -> Result<Experiment, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

#[test]
fn an_empty_file_is_the_default() {
    let experiment = read("").unwrap();
    assert_eq!(experiment, Experiment::default());
    experiment.check().unwrap();
}

#[test]
fn words_stand_for_tables() {
    let experiment = read("data = \"news\"\ntask = \"news\"\nsoft_labels = \"off\"").unwrap();
    assert_eq!(experiment.data.title(), "news");
    assert_eq!(experiment.task["from"].as_str(), Some("news"));
    assert!(!experiment.has_soft_labels());
    assert!(
        read("soft_labels = \"of\"")
            .unwrap_err()
            .contains("\"off\"")
    );
    let table = read("soft_labels = { weight = 2.0 }").unwrap();
    assert_eq!(table.soft_labels.weight, 2.0);
}

#[test]
fn unknown_keys_are_named_at_every_depth() {
    for text in [
        "roundz = 1",
        "[data]\nroundz = 1",
        "[training]\nroundz = 1",
        "[round]\nroundz = 1",
        "[soft_labels]\nroundz = 1",
        "attackers.attack = { by = \"label_flip\", roundz = 1 }",
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains("roundz"), "{text}: {message}");
    }
}

#[test]
fn settings_survive_json_and_toml() {
    let mut experiment = read("data = { train = \"a/b.csv\", test = \"c.csv\" }").unwrap();
    experiment.round.sample = Sample::Share(0.5);
    assert_eq!(experiment.data.title(), "a");
    let json = serde_json::to_string(&experiment).unwrap();
    assert_eq!(
        serde_json::from_str::<Experiment>(&json).unwrap(),
        experiment
    );
    let toml = toml::to_string(&experiment).unwrap();
    assert_eq!(read(&toml).unwrap(), experiment);
}

#[test]
fn a_sample_is_a_count_or_a_share() {
    assert_eq!(read("round.sample = 3").unwrap().round.sample.of(10), 3);
    assert_eq!(
        read("round.sample = 0.1").unwrap().round.sample.of(1000),
        100
    );
    assert_eq!(read("round.sample = 1.0").unwrap().round.sample.of(10), 0);
    assert_eq!(Sample::Count(20).of(10), 0);
}

#[test]
fn each_bad_setting_is_named() {
    type Spoil = fn(&mut Experiment);
    let cases: [(&str, Spoil); 17] = [
        ("clients", |e| e.clients = 0),
        ("rounds", |e| e.rounds = 0),
        ("seeds", |e| e.seeds.clear()),
        ("seeds", |e| e.seeds = vec![1, 2, 1]),
        ("deal.gold", |e| e.deal.gold = 0),
        ("deal.clients", |e| e.deal.clients = 5),
        ("deal.partition.alpha", |e| {
            e.deal.partition = Partition::LabelMix { alpha: -1.0 }
        }),
        ("training.learning_rate", |e| {
            e.training.learning_rate = f32::NAN
        }),
        ("lora.rank", |e| e.lora.rank = 0),
        ("soft_labels.noise", |e| e.soft_labels.noise = 2.0),
        ("evaluation.every", |e| e.evaluation.every = 0),
        ("data", |e| e.data = Data::default()),
        ("round.minimum", |e| e.round.minimum = 6),
        ("round.goal", |e| e.round.goal = 6),
        ("dropouts.during", |e| e.dropouts.during = 1.0),
        ("stragglers.sigma", |e| e.stragglers.sigma = -1.0),
        ("attackers.count", |e| e.attackers.count = 6),
    ];
    for (field, spoil) in cases {
        let mut experiment = Experiment::default();
        spoil(&mut experiment);
        assert_eq!(experiment.check().unwrap_err().field, field);
    }
}
