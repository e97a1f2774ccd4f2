//! Every path with good and bad input.

use fl_core::settings::RoomSettings;
use server::{Limits, Password};

use crate::support::{TestServer, limits, settings};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn health_and_headers() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
    let answer = server.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("'wasm-unsafe-eval'"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(server.get("/r/ABCDEF").await.status, 200);
    assert_eq!(server.get("/nothing.js").await.status, 404);
    assert_eq!(server.get("/../Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn defaults_name_models_and_corpora() {
    let server = TestServer::start().await;
    let defaults = server.get("/api/defaults").await.json();
    let settings: RoomSettings = serde_json::from_value(defaults["settings"].clone()).unwrap();
    assert_eq!(settings, RoomSettings::default());
    let names = |list: &str| -> Vec<String> {
        let list = defaults[list].as_array().unwrap().iter();
        list.map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("models"), ["default", "tiny"]);
    assert_eq!(names("corpora"), ["reviews", "news"]);
    assert!(defaults["corpora"][0]["test"].as_u64().unwrap() >= 300);
    assert!(defaults["corpora"][0]["task"]["labels"].is_array());
}

#[tokio::test]
async fn room_of_the_bundled_model_opens() {
    let server = TestServer::start().await;
    let (code, token) = server.open_room(&RoomSettings::default()).await;
    assert_eq!((code.len(), token.len()), (6, 64));
    let inspection = server.get(&format!("/api/rooms/{code}")).await.json();
    assert_eq!(inspection["view"]["code"], code.as_str());
    assert_eq!(inspection["model"]["name"], "default");
    assert_eq!(inspection["settings"]["title"], "Reviews");
}

#[tokio::test]
async fn bad_settings_are_named() {
    let server = TestServer::start().await;
    let cases = [
        ("nonsense", "not a room's settings"),
        ("[]", "not a room's settings"),
        (r#"{"tittle":"x"}"#, "tittle"),
        (r#"{"title":""}"#, "title"),
        (r#"{"model":"missing"}"#, "setting model"),
        (
            r#"{"compression":{"by":"f32","share":0.1}}"#,
            "compression.share",
        ),
        (
            r#"{"texts":{"from":"corpus","corpus":"no","deal":{"gold":1,"unlabelled":1}}}"#,
            "texts.corpus",
        ),
        (
            r#"{"texts":{"from":"corpus","corpus":"reviews","deal":{"gold":8,"unlabelled":48,
            "clients":500,"partition":{"by":"label_mix","alpha":1}}}}"#,
            "texts.deal",
        ),
        (
            r#"{"task":{"name":"a","patterns":["{text} {mask}"],"max_tokens":32,"labels":[
            {"name":"negative","words":["xylophonically"]},{"name":"positive","words":["great"]}]}}"#,
            "xylophonically",
        ),
        (
            r#"{"task":{"name":"a","patterns":["{text} {mask}"],"max_tokens":32,"labels":[
            {"name":"up","words":["terrible"]},{"name":"down","words":["great"]}]}}"#,
            "task.labels",
        ),
    ];
    for (body, named) in cases {
        let answer = server.request("POST", "/api/rooms", &JSON, body).await;
        assert_eq!(
            (answer.status, answer.fault().as_str()),
            (400, "bad_settings"),
            "{body}"
        );
        assert!(answer.text().contains(named), "{}", answer.text());
    }
    let form = server.request("POST", "/api/rooms", &[], "{}").await;
    assert_eq!(form.status, 400);
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(40_000));
    let long = server.request("POST", "/api/rooms", &JSON, &long).await;
    assert_eq!((long.status, long.fault().as_str()), (413, "oversized"));
}

#[tokio::test]
async fn rooms_are_bounded() {
    let server = TestServer::start_with(Limits {
        rooms: 1,
        ..limits()
    })
    .await;
    let bad = server
        .request("POST", "/api/rooms", &JSON, r#"{"title":""}"#)
        .await;
    assert_eq!(bad.status, 400);
    server.open_room(&settings(1)).await;
    let body = serde_json::to_string(&settings(1)).unwrap();
    let answer = server.request("POST", "/api/rooms", &JSON, &body).await;
    assert_eq!(
        (answer.status, answer.fault().as_str()),
        (503, "overloaded")
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_get_faults() {
    let server = TestServer::start().await;
    let (code, _) = server.open_room(&settings(1)).await;
    for path in [
        "/api/nothing",
        "/api/rooms/NOROOM",
        "/api/rooms/%2e%2e",
        "/api/rooms/NOROOM/adapter/adapter_config.json",
        "/api/models/tiny/weights.bin",
        "/api/models/tiny/..%2fconfig.json",
        "/api/models/none/config.json",
        "/api/corpora/reviews/README.md",
        "/api/corpora/none/train.csv",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(!answer.fault().is_empty());
    }
    let file = format!("/api/rooms/{code}/adapter/secrets.txt");
    assert_eq!(server.get(&file).await.status, 404);
    let deleted = server.request("DELETE", "/api/defaults", &[], "").await;
    assert_eq!(
        (deleted.status, deleted.fault().as_str()),
        (405, "malformed")
    );
    let plain = server.get("/ws").await;
    assert_eq!((plain.status, plain.fault().as_str()), (426, "malformed"));
}

#[tokio::test]
async fn only_the_owner_controls_a_room() {
    let server = TestServer::start().await;
    let (code, token) = server.open_room(&settings(1)).await;
    let (_, other) = server.open_room(&settings(1)).await;
    for action in ["start", "pause", "next", "finish"] {
        let path = format!("/api/rooms/{code}/{action}");
        for header in ["", "Bearer ", &token, &format!("Bearer {other}")] {
            let answer = server
                .request("POST", &path, &[("authorization", header)], "")
                .await;
            assert_eq!((answer.status, answer.fault().as_str()), (403, "not_owner"));
        }
    }
    let bearer = format!("Bearer {token}");
    let owner = [("authorization", bearer.as_str())];
    let next = format!("/api/rooms/{code}/next");
    let too_few = server.request("POST", &next, &owner, "").await;
    assert_eq!(
        (too_few.status, too_few.fault().as_str()),
        (409, "too_few_clients")
    );
    let word = format!("/api/rooms/{code}/clients/word");
    assert_eq!(
        server.request("DELETE", &word, &owner, "").await.status,
        404
    );
}

#[tokio::test]
async fn models_and_texts_are_served_with_tags() {
    let server = TestServer::start().await;
    for (name, bundled) in [("tiny", false), ("default", true)] {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let path = format!("/api/models/{name}/{file}");
            let answer = server.get(&path).await;
            assert_eq!(answer.status, 200);
            if !bundled {
                let expected = std::fs::read(server.folder.path().join("tiny").join(file));
                assert_eq!(answer.body, expected.unwrap());
            }
            let tag = answer.header("etag").unwrap();
            let again = [("if-none-match", tag)];
            let unmodified = server.request("GET", &path, &again, "").await;
            assert_eq!((unmodified.status, unmodified.body.len()), (304, 0));
        }
    }
    let texts = server.get("/api/corpora/reviews/train.csv").await;
    assert!(texts.text().starts_with("text,label"));
    assert!(
        texts
            .header("content-type")
            .unwrap()
            .starts_with("text/csv")
    );
}

#[tokio::test]
async fn text_is_compressed_and_weights_are_not() {
    let server = TestServer::start().await;
    let accept = [("accept-encoding", "gzip, br")];
    let texts = "/api/corpora/reviews/train.csv";
    let plain = server.get(texts).await.body.len();
    let small = server.request("GET", texts, &accept, "").await;
    assert!(small.header("content-encoding").is_some());
    assert!(small.body.len() < plain / 2);
    let weights = "/api/models/tiny/model.safetensors";
    let weights = server.request("GET", weights, &accept, "").await;
    assert_eq!(weights.header("content-encoding"), None);
    let length = weights.header("content-length").unwrap();
    assert_eq!(length, weights.body.len().to_string());
}

#[tokio::test]
async fn adapter_is_a_peft_directory() {
    let server = TestServer::start().await;
    let (code, _) = server.open_room(&settings(1)).await;
    let path = |file| format!("/api/rooms/{code}/adapter/{file}");
    let config = server.get(&path("adapter_config.json")).await.json();
    assert_eq!(
        (config["peft_type"].as_str(), config["r"].as_u64()),
        (Some("LORA"), Some(4))
    );
    assert_eq!(
        config["target_modules"],
        serde_json::json!(["query", "value"])
    );
    let weights = server.get(&path("adapter_model.safetensors")).await;
    assert_eq!(weights.header("lpfl-round"), Some("0"));
    let adapter = fl_core::codec::decode_adapter(&weights.body).unwrap();
    let names: Vec<&String> = adapter.matrices.keys().collect();
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("base_model.model.")),
        "{names:?}"
    );
    let zip = server.get(&format!("/api/rooms/{code}/adapter")).await;
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip.body)).unwrap();
    let mut zipped = Vec::new();
    let mut file = zip.by_name("adapter_model.safetensors").unwrap();
    std::io::Read::read_to_end(&mut file, &mut zipped).unwrap();
    assert_eq!(zipped, weights.body);
    let tag = weights.header("etag").unwrap();
    assert_eq!(tag.trim_matches('"'), adapter.hash().to_string());
}

#[tokio::test]
async fn password_is_needed_to_open_rooms_and_for_nothing_else() {
    let mut server = TestServer::start().await;
    let (code, _) = server.open_room(&settings(1)).await;
    server.config.password = Some(Password::new("correct-horse\n").unwrap());
    let server = server.restart(|_| {}).await;
    let body = serde_json::to_string(&settings(1)).unwrap();
    let open = |authorization: &'static str| {
        let headers = [JSON[0], ("authorization", authorization)];
        let (server, body) = (&server, &body);
        async move { server.request("POST", "/api/rooms", &headers, body).await }
    };
    let asked = server.request("POST", "/api/rooms", &JSON, &body).await;
    assert_eq!(
        (asked.status, asked.fault().as_str()),
        (401, "password_needed")
    );
    assert_eq!(asked.header("www-authenticate"), Some("Bearer"));
    for wrong in [
        "Bearer wrong-horse",
        "Bearer ",
        "Basic correct-horse",
        "correct-horse",
    ] {
        assert_eq!(open(wrong).await.status, 401, "{wrong}");
    }
    assert_eq!(open("Bearer correct-horse").await.status, 201);
    server.join(&code, "Ada").await;
    assert_eq!(server.get("/api/defaults").await.status, 200);
}

#[tokio::test]
async fn passwords_cannot_be_guessed() {
    let server = TestServer::start_as(|config| {
        config.password = Some(Password::new("correct-horse").unwrap());
        config.limits.wrong_codes_per_address_and_minute = 2;
    })
    .await;
    let body = serde_json::to_string(&settings(1)).unwrap();
    let mut statuses = Vec::new();
    for guess in ["Bearer a", "Bearer b", "Bearer correct-horse"] {
        let headers = [JSON[0], ("authorization", guess)];
        let answer = server.request("POST", "/api/rooms", &headers, &body).await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 429]);
}
