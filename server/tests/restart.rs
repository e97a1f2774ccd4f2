//! What a server that ends, in order or not, finds again.

use std::fs;
use std::path::Path;

use fl_core::codec::decode_adapter;
use server::{ServerError, serve};
use tokio::net::TcpListener;

use crate::support::{Client, TestServer, config, limits, settings, write_tiny_model};

const WEIGHTS: &str = "adapter_model.safetensors";

/// Plays rounds with one client; the room and the client's token.
async fn play(server: &TestServer, rounds: u32) -> (String, String) {
    let (room, _) = server.open_room(&settings(1)).await;
    let mut ada = server.join(&room, "Ada").await;
    ada.ready().await;
    for _ in 0..rounds {
        ada.do_round(1.0).await;
        ada.round_end().await;
    }
    (room, ada.welcome.unwrap().resume)
}

fn weights(data: &Path, room: &str, round: u32) -> std::path::PathBuf {
    let folder = data.join("rooms").join(room);
    folder.join(format!("round-{round:05}")).join(WEIGHTS)
}

#[tokio::test]
async fn restarted_server_goes_on_at_the_same_round_and_hash() {
    let server = TestServer::start().await;
    let (room, resume) = play(&server, 3).await;
    let stored = fs::read(weights(&server.data(), &room, 3)).unwrap();
    let hash = decode_adapter(&stored).unwrap().hash();
    let before = server.get(&format!("/api/rooms/{room}")).await.json();
    let server = server.restart(|_| {}).await;
    let after = server.get(&format!("/api/rooms/{room}")).await.json();
    for part in ["history", "evaluations", "settings", "model"] {
        assert_eq!(before[part], after[part], "{part}");
    }
    let mut ada = Client::join(server.address, &room, "Ada", Some(&resume)).await;
    assert_eq!((ada.round, ada.hash), (3, Some(hash)));
    assert_eq!(ada.welcome.as_ref().unwrap().client.0, 1);
    ada.ready().await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.round, 4);
}

#[tokio::test]
async fn owner_token_outlives_a_restart_and_is_not_stored() {
    let server = TestServer::start().await;
    let (room, token) = server.open_room(&settings(1)).await;
    let server = server.restart(|_| {}).await;
    let database = fs::read(server.data().join("lpfl.sqlite")).unwrap();
    let readable = |bytes: &[u8]| bytes.windows(64).any(|part| part == token.as_bytes());
    assert!(!readable(&database));
    let bearer = format!("Bearer {token}");
    let path = format!("/api/rooms/{room}/pause");
    let paused = server
        .request("POST", &path, &[("authorization", &bearer)], "")
        .await;
    assert_eq!(paused.status, 204);
    let server = server.restart(|_| {}).await;
    let view = server.get(&format!("/api/rooms/{room}")).await.json();
    assert_eq!(view["view"]["phase"]["type"], "paused");
}

#[tokio::test]
async fn write_cut_before_the_rename_leaves_the_last_round() {
    let server = TestServer::start().await;
    let (room, resume) = play(&server, 2).await;
    let half = room.clone();
    let server = server
        .restart(move |data| {
            let folder = data.join("rooms").join(&half).join(".unfinished-00003");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(WEIGHTS), b"half of it").unwrap();
        })
        .await;
    let mut ada = Client::join(server.address, &room, "Ada", Some(&resume)).await;
    assert_eq!(ada.round, 2);
    let folder = server.data().join("rooms").join(&room);
    assert!(!folder.join(".unfinished-00003").exists());
    ada.ready().await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.round, 3);
}

#[tokio::test]
async fn write_cut_before_the_commit_leaves_the_last_round() {
    let server = TestServer::start().await;
    let (room, resume) = play(&server, 2).await;
    let code = room.clone();
    let server = server
        .restart(move |data| {
            // The directory of round 3 is there, its record is not.
            let whole = weights(data, &code, 2);
            let orphan = weights(data, &code, 3);
            fs::create_dir(orphan.parent().unwrap()).unwrap();
            fs::copy(whole, orphan).unwrap();
        })
        .await;
    let mut ada = Client::join(server.address, &room, "Ada", Some(&resume)).await;
    assert_eq!(ada.round, 2);
    ada.ready().await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.round, 3);
    let stored = fs::read(weights(&server.data(), &room, 3)).unwrap();
    assert_eq!(Some(decode_adapter(&stored).unwrap().hash()), ada.hash);
}

#[tokio::test]
async fn damaged_adapter_falls_back_to_the_newest_whole_round() {
    let server = TestServer::start().await;
    let (room, resume) = play(&server, 3).await;
    let code = room.clone();
    let server = server
        .restart(move |data| {
            let path = weights(data, &code, 3);
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        })
        .await;
    let mut ada = Client::join(server.address, &room, "Ada", Some(&resume)).await;
    assert_eq!(ada.round, 2);
    ada.ready().await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.round, 3);
    let server = server.restart(|_| {}).await;
    let view = server.get(&format!("/api/rooms/{room}")).await.json();
    assert_eq!(view["view"]["completed"], 3);
}

#[tokio::test]
async fn room_without_any_whole_adapter_stops_the_start_with_its_path() {
    let server = TestServer::start().await;
    let (room, _) = play(&server, 1).await;
    let folder = server.end().await;
    for round in 0..=1 {
        fs::remove_file(weights(&folder.path().join("data"), &room, round)).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = serve(
        listener,
        std::future::pending(),
        config(folder.path(), limits()),
    )
    .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&room) && error.contains("backup"), "{error}");
}

#[tokio::test]
async fn room_without_its_folder_is_closed_until_it_is_back() {
    let server = TestServer::start().await;
    let (lost, _) = play(&server, 1).await;
    let (kept, _) = play(&server, 2).await;
    let away = server.folder.path().join("away");
    let rooms = server.data().join("rooms");
    let server = server
        .restart(|_| fs::rename(rooms.join(&lost), &away).unwrap())
        .await;
    let path = |room: &str| format!("/api/rooms/{room}");
    assert_eq!(server.get(&path(&lost)).await.fault(), "unknown_room");
    assert_eq!(server.get(&path(&kept)).await.status, 200);
    let server = server
        .restart(|_| fs::rename(&away, rooms.join(&lost)).unwrap())
        .await;
    let view = server.get(&path(&lost)).await.json();
    assert_eq!(view["view"]["completed"], 1);
}

#[tokio::test]
async fn old_adapters_are_removed() {
    let server = TestServer::start().await;
    let (room, _) = play(&server, 8).await;
    let folder = server.data().join("rooms").join(&room);
    // Nobody waits for it but a server that ends.
    let checked = server.restart(|_| {
        let rounds: Vec<u32> = (0..=8)
            .filter(|round| folder.join(format!("round-{round:05}")).exists())
            .collect();
        assert_eq!(rounds, [4, 5, 6, 7, 8]);
    });
    checked.await;
}

#[tokio::test]
async fn data_folder_serves_one_server_only() {
    let server = TestServer::start().await;
    server.get("/healthz").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = config(server.folder.path(), limits());
    let error = serve(listener, std::future::pending(), second).await;
    assert!(
        matches!(error, Err(ServerError::DataFolderTaken { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn bad_starts_name_cause_and_mend() {
    let folder = tempfile::tempdir().unwrap();
    let start = |spoil: fn(&Path)| {
        let folder = folder.path();
        let _ = fs::remove_dir_all(folder.join("tiny"));
        let _ = fs::remove_dir_all(folder.join("data"));
        let _ = fs::remove_file(folder.join("data"));
        write_tiny_model(&folder.join("tiny"));
        spoil(folder);
        let config = config(folder, limits());
        async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let error = serve(listener, std::future::pending(), config).await;
            error.unwrap_err().to_string()
        }
    };
    let missing = start(|f| fs::remove_file(f.join("tiny/config.json")).unwrap()).await;
    assert!(
        missing.contains("tiny/config.json: expected a file") && missing.contains("; name "),
        "{missing}"
    );
    let weights = |f: &Path| fs::write(f.join("tiny/model.safetensors"), b"short").unwrap();
    let weights = start(weights).await;
    assert!(weights.contains("model.safetensors"), "{weights}");
    let file = start(|f| fs::write(f.join("data"), b"a file").unwrap()).await;
    assert!(file.contains("--data-dir"), "{file}");
    let damaged = |f: &Path| {
        fs::create_dir(f.join("data")).unwrap();
        fs::write(f.join("data/lpfl.sqlite"), vec![7; 5000]).unwrap();
    };
    let damaged = start(damaged).await;
    assert!(
        damaged.contains("lpfl.sqlite") && damaged.contains("backup"),
        "{damaged}"
    );
}
