//! The whole thing: a room from the page, two browsers and a native client, five rounds.

use serde_json::json;

use crate::browser::Tab;
use crate::driver::Kind;
use crate::native::Native;
use crate::pictures;
use crate::scene::{Scene, play};
use crate::server::RoomInfo;
use crate::wait::until;

const ROUNDS: u32 = 5;
const CLIENTS: usize = 4;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn five_rounds_across_browsers() {
    play("five_rounds_across_browsers", five_rounds).await;
}

async fn five_rounds(scene: &Scene) {
    let owner = scene.tab(Kind::Chromium, "chromium-1").await;
    let code = create_room(scene, &owner).await;
    let second = scene.tab(Kind::Chromium, "chromium-2").await;
    second.join(&scene.link(&code), "Second").await;
    let firefox = scene.tab(Kind::Firefox, "firefox").await;
    firefox.join(&scene.link(&code), "Third").await;
    let native = Native::join(&scene.server.url(""), &code, &scene.folder);

    let tabs = [&owner, &second, &firefox];
    owner.sees("training", |page| page.is_training()).await;
    pictures::take(&owner, "training").await;
    for tab in tabs {
        tab.sees("all rounds done", |page| {
            page.phase == "finished" && page.completed == Some(ROUNDS)
        })
        .await;
    }
    native.finished().await;
    let room = until("the last accuracy", async || {
        let room = scene.server.room(&code);
        let known = room.evaluations.iter().any(|known| known.round == ROUNDS);
        known
            .then_some(room)
            .ok_or_else(|| "not measured yet".into())
    })
    .await;

    all_hold_the_same_adapter(&room, &tabs, &native).await;
    every_round_took_everyone(&room);
    soft_labels_grew(&room, &tabs).await;
    the_chart_has_the_accuracies(&room, &tabs).await;
    the_bytes_are_counted(&room, &tabs).await;
    the_model_answers(&tabs).await;
    the_adapter_can_be_saved(&owner).await;
    pictures::take(&owner, "finished").await;
    pictures::take_plain(&firefox, "finished-firefox").await;
    print_table(&room);
    accuracy_rose(&room);
}

/// Makes the room as a person does, its creator joining by that; returns its code.
async fn create_room(scene: &Scene, owner: &Tab) -> String {
    owner.open(&scene.server.url("/")).await;
    owner
        .write("[data-testid=\"title-input\"]", "Five rounds")
        .await;
    pictures::take(owner, "home").await;
    owner
        .element_at("details.options > summary")
        .await
        .click()
        .await
        .unwrap();
    for (field, value) in [
        ("round.rounds", ROUNDS.to_string()),
        ("round.quorum", CLIENTS.to_string()),
        // A round ends by its reports, however slow the machine is.
        ("round.deadline_seconds", "600".into()),
    ] {
        let selector = format!("[data-field=\"{field}\"] input");
        owner.write(&selector, &value).await;
    }
    owner.click("create-room").await;
    let page = owner
        .sees("its creator joined", |page| page.client.is_some())
        .await;
    page.path.strip_prefix("/r/").unwrap().to_owned()
}

async fn all_hold_the_same_adapter(room: &RoomInfo, tabs: &[&Tab], native: &Native) {
    let hash = room.hash().expect("five rounds are complete").to_string();
    for tab in tabs {
        tab.sees("the room's adapter", |page| page.hash == hash)
            .await;
    }
    assert_eq!(native.hash(), Some(hash));
}

/// The links of the finished room give a PEFT configuration and a safetensors file.
async fn the_adapter_can_be_saved(tab: &Tab) {
    let saved: Vec<(String, u16, String)> = tab
        .script(
            "const links = document.querySelectorAll('[data-testid=\"adapter\"] a[download]');
             return Promise.all([...links].map(async (link) => {
               const answer = await fetch(link.href);
               return [link.download, answer.status, await answer.text()];
             }));",
            vec![],
        )
        .await;
    let part = |name: &str| {
        let found = saved.iter().find(|(file, ..)| file == name);
        let (_, status, text) = found.unwrap_or_else(|| panic!("no link saves {name}"));
        assert_eq!(*status, 200, "{name}: {text}");
        text
    };
    assert!(part("adapter_config.json").contains("\"peft_type\""));
    assert!(part("adapter_model.safetensors").contains("lora_A"));
}

fn every_round_took_everyone(room: &RoomInfo) {
    for round in 1..=ROUNDS {
        let record = room.completed(round).expect("every round is recorded");
        assert_eq!(record.participants.len(), CLIENTS, "{record:?}");
        assert!(record.excluded.is_empty(), "{record:?}");
    }
}

async fn soft_labels_grew(room: &RoomInfo, tabs: &[&Tab]) {
    let counts: Vec<_> = room.history.iter().map(|record| record.soft).collect();
    assert_eq!(counts[0], 0, "the first round is on gold labels alone");
    assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
    let gold: Vec<_> = room.history.iter().map(|record| record.gold).collect();
    assert!(gold.iter().all(|count| *count == gold[0]), "{gold:?}");
    for tab in tabs {
        let page = tab.look().await;
        let all = page.gold.unwrap() + page.soft.unwrap() + page.remaining.unwrap();
        assert!(page.gold > Some(0) && page.soft > Some(0), "{page:?}");
        assert_eq!(all, 8 + 48, "{page:?}");
    }
}

async fn the_chart_has_the_accuracies(room: &RoomInfo, tabs: &[&Tab]) {
    let measured = room.evaluations.iter();
    let measured: Vec<_> = measured
        .map(|point| (point.round, f64::from(point.accuracy)))
        .collect();
    assert_eq!(measured.len(), ROUNDS as usize + 1, "{measured:?}");
    for tab in tabs {
        let page = tab
            .sees("a point for every round", |page| {
                page.chart_points == measured.len()
            })
            .await;
        for (shown, known) in page.accuracies.iter().zip(&measured) {
            assert_eq!(shown.0, known.0);
            assert!((shown.1 - known.1).abs() < 1e-6, "{shown:?} {known:?}");
        }
    }
}

/// Every tab's counter holds its five updates and little more.
async fn the_bytes_are_counted(room: &RoomInfo, tabs: &[&Tab]) {
    let reports: u64 = room.history.iter().map(|record| record.bytes_up).sum();
    let updates = reports / CLIENTS as u64;
    for tab in tabs {
        let sent = tab.look().await.bytes_up;
        assert!(sent > updates && sent < 2 * updates, "{sent} of {updates}");
    }
}

async fn the_model_answers(tabs: &[&Tab]) {
    for tab in tabs {
        let page = tab.ask("The soup was cold and the waiter rude.").await;
        assert_eq!(page.answer.len(), 2, "{page:?}");
        let sum: f64 = page.answer.iter().sum();
        assert!((sum - 100.0).abs() < 0.01, "{:?}", page.answer);
        let last = json!(ROUNDS.to_string());
        assert_eq!(json!(page.answer_round), last);
    }
}

fn accuracy_rose(room: &RoomInfo) {
    let (first, last) = (&room.evaluations[0], &room.evaluations[ROUNDS as usize]);
    assert_eq!((first.round, last.round), (0, ROUNDS));
    assert!(
        last.accuracy > first.accuracy,
        "accuracy went from {} to {}",
        first.accuracy,
        last.accuracy
    );
}

fn print_table(room: &RoomInfo) {
    let full = room.model.parameters * size_of::<f32>() as u64;
    println!(
        "\n| after round | accuracy | macro F1 | loss | bytes up per client | full model / update | gold | soft | seconds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for point in &room.evaluations {
        let quality = format!(
            "{:.3} | {:.3} | {:.3}",
            point.accuracy, point.macro_f1, point.loss
        );
        let work = match room.completed(point.round) {
            None => "– | – | – | – | –".into(),
            Some(record) => {
                let update = record.bytes_up / u64::from(record.reported);
                let (more, seconds) = (full / update, f64::from(record.duration_ms) / 1000.0);
                let (gold, soft) = (record.gold, record.soft);
                format!("{update} | {more} | {gold} | {soft} | {seconds:.1}")
            }
        };
        println!("| {} | {quality} | {work} |", point.round);
    }
    println!(
        "full model: {} parameters, {full} bytes as f32\n",
        room.model.parameters
    );
}
