//! The command line: what each command prints, and how it ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{EASY, Home, jsonl};
use crate::expect::{LIVE_WITHIN, eventually};
use crate::server::{PROMPTS, models_dir, route_request};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_does_everything_and_the_second_nothing_again() {
    let home = Home::new().await;
    let mut served = home.serve().await;
    let log = served.log();
    for said in
        ["Took the reference set small from", "Embedding small", "Serving small version 1: 32 reference prompts"]
    {
        assert!(log.contains(said), "{said:?} is not in\n{log}");
    }
    let response = served.router().await.route(route_request("what is 7 times 8?")).await.unwrap().into_inner();
    assert_eq!(response.decision.unwrap().route, "maths");

    // A request under way does not keep it: the signal ends it in good order.
    served.signal("TERM");
    assert_eq!(served.ended().await, Some(0), "{}", served.log());
    assert!(served.log().contains("stopping"), "{}", served.log());

    let begun = Instant::now();
    let mut served = home.serve().await;
    let took = begun.elapsed();
    let log = served.log();
    assert!(!log.contains("Took") && !log.contains("Embedding small"), "{log}");
    assert!(log.contains("Serving small version 1"), "{log}");
    assert!(took < Duration::from_secs(20), "the second start took {took:?}");
    served.signal("INT");
    assert_eq!(served.ended().await, Some(0), "{}", served.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_heard_whenever_it_comes() {
    let home = Home::new().await;
    // As soon as it says that it listens, and during the start, which the next start takes up from.
    let mut early = home.begin_to_serve();
    eventually("the set was taken", Duration::from_secs(60), async || early.log().contains("Took").then_some(())).await;
    early.signal("TERM");
    let code = early.ended().await;
    assert!(matches!(code, Some(0 | 1)), "{code:?}\n{}", early.log());
    let mut served = home.serve().await;
    served.signal("TERM");
    assert_eq!(served.ended().await, Some(0), "{}", served.log());

    // A stream that its reader leaves open holds the end up for the drain time, unless a second signal comes.
    let mut served = home.serve().await;
    let (hold, messages) = tokio::sync::mpsc::channel(1);
    let message = semroute::grpc::pb::ImportRequest { set: "small".to_owned(), prompts: Vec::new() };
    hold.send(message).await.unwrap();
    let mut references = served.references().await;
    let import =
        tokio::spawn(async move { references.import(tokio_stream::wrappers::ReceiverStream::new(messages)).await });
    // The message has arrived when there is room for another.
    drop(hold.reserve().await.unwrap());
    served.router().await.route(route_request("x")).await.unwrap();
    served.signal("TERM");
    eventually("it stops", Duration::from_secs(60), async || served.log().contains("stopping").then_some(())).await;
    let begun = Instant::now();
    served.signal("TERM");
    served.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "the second signal was not heard\n{}", served.log());
    assert!(import.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_prompt_has_one_route_however_it_is_asked() {
    let home = Home::new().await;
    let text = "what is 12 times 17";
    let served = home.serve().await;
    let url = served.url();
    let remote = home.run(&["route", "--server", &url, "--json", text]).await.json();
    let local = home.run(&["route", "--local", "--json", text]).await.json();
    // The address as it is printed will do.
    let printed = url.strip_prefix("http://").unwrap();
    assert_eq!(home.run(&["route", "--server", printed, "--json", text]).await.json()["route"], remote["route"]);
    let piped = home.run_with_input(&["route", "--server", &url, "--json", "-"], text).await.json();
    for field in ["route", "score", "margin", "stage", "neighbours", "alternatives", "versions", "plan", "input_tokens"]
    {
        assert!(!remote[field].is_null(), "{field}");
        assert_eq!(remote[field], local[field], "{field}");
        assert_eq!(remote[field], piped[field], "{field}");
    }
    assert_eq!((remote["route"].as_str(), remote["versions"]["set_version"].as_u64()), (Some("maths"), Some(1)));
    assert_eq!(remote["neighbours"][0]["text"], text);
    let plain = home.run(&["route", "--server", &url, "--neighbours", "2", text]).await;
    assert_eq!((plain.code, plain.stdout.lines().next()), (Some(0), Some("maths")), "{plain:?}");
    // Without a server on the configured address the decision is made here.
    let found = home.run(&["route", "--json", text]).await.json();
    assert_eq!((&found["route"], &found["neighbours"]), (&remote["route"], &remote["neighbours"]));

    home.run(&["route", "--server", &url, "--set", "nope", text]).await.failed(1, &["nope", "NotFound"]);
    home.run(&["route", "--server", &url, "--neighbours", "101", text]).await.failed(1, &["max_neighbours"]);
    home.run_with_input(&["route", "--server", &url, "-"], " \n").await.failed(1, &["input.text"]);
    served.kill().await;
    home.run(&["route", "--server", &url, text]).await.failed(1, &["no server answers at", &url]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named() {
    let home = Home::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let begun = Instant::now();
    home.run(&["serve", "--listen", &address]).await.failed(1, &[&address, "cannot be listened on"]);
    let variable = ("SEMROUTE__HTTP__LISTEN", address.as_str());
    let http = home.command(&["serve"]).env(variable.0, variable.1).output().await.unwrap();
    let told = String::from_utf8_lossy(&http.stderr);
    assert_eq!(http.status.code(), Some(1));
    assert!(told.contains(&format!("http.listen: {address} cannot be listened on: ")), "{told}");
    assert!(!home.store_path().exists() && begun.elapsed() < Duration::from_secs(20), "the ports come first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_counts_what_is_right() {
    let home = Home::new().await;
    let references = home.path("reference-prompts/small");
    let labelled = |rows: &[(&str, &str)]| -> String {
        rows.iter().map(|(text, label)| format!("{{\"text\": \"{text}\", \"label\": \"{label}\"}}\n")).collect()
    };
    std::fs::write(
        home.path("test.jsonl"),
        labelled(&[
            ("what is 9 times 6", "maths"),
            ("Spanish for window", "translation"),
            ("recipe for leek soup", "cooking"),
        ]),
    )
    .unwrap();
    let references = references.to_str().unwrap();
    let json = home.run(&["eval", "--references", references, "--test", "test.jsonl", "--json"]).await.json();
    assert_eq!(
        (json["references"].as_u64(), json["report"]["accuracy"]["share"].as_f64()),
        (Some(32), Some(1.0)),
        "{json}"
    );
    assert!(!home.store_path().exists(), "an evaluation stores nothing");
    let text = home.run(&["eval", "--references", references, "--test", "test.jsonl"]).await;
    assert!(text.code == Some(0) && text.stdout.contains("32 references, 4 routes"), "{text:?}");

    let without_store = home.run(&["eval", "--test", "test.jsonl"]).await;
    without_store.failed(1, &["small", "semroute serve"]);
    let faulty = "{\"text\": \"a\"}\nnonsense\n{\"text\": \"b\", \"label\": \"c\"}\n";
    std::fs::write(home.path("faulty.jsonl"), faulty).unwrap();
    let failed = home.run(&["eval", "--references", references, "--test", "faulty.jsonl"]).await;
    failed.failed(1, &["2 faults", "faulty.jsonl:1: label is missing", "faulty.jsonl:2: not valid JSON"]);
    home.run(&["eval", "--references", references, "--test", "absent.jsonl"]).await.failed(1, &["absent.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reindex_builds_what_has_changed() {
    let home = Home::new().await;
    home.run(&["reindex"]).await.failed(1, &["small", "does not exist"]);
    let folder = home.path("reference-prompts/small");
    let folder = folder.to_str().unwrap();
    let first = home.run(&["reindex", "--files", folder, "--json"]).await.json();
    let report = |json: &Value| {
        let number = |field: &str| json["report"][field].as_u64().unwrap();
        (json["changed"].as_bool().unwrap(), number("version"), number("prompts"), number("embedded"))
    };
    assert_eq!(report(&first), (true, 1, 32, 32));
    assert_eq!(report(&home.run(&["reindex", "--json"]).await.json()), (false, 1, 32, 32));
    let unchanged = home.run(&["reindex"]).await;
    assert!(
        unchanged.code == Some(0) && unchanged.stdout.contains("nothing has changed since version 1"),
        "{unchanged:?}"
    );

    // A server beside it takes the versions up.
    let served = home.serve().await;
    let mut router = served.router().await;
    let mut version = async || {
        let decision = router.route(route_request("x")).await.unwrap().into_inner().decision.unwrap();
        decision.versions.unwrap().set_version
    };
    assert_eq!(version().await, 1);
    assert_eq!(report(&home.run(&["reindex", "--all", "--json"]).await.json()), (true, 2, 32, 32));
    eventually("version 2 is served", LIVE_WITHIN, async || (version().await == 2).then_some(())).await;

    // A file of prompts alone: they become the draft, and what it does not speak of stays.
    let mut lines: Vec<String> = PROMPTS
        .iter()
        .flat_map(|(route, texts)| texts[1..].iter().map(move |text| (route, *text)))
        .map(|(route, text)| serde_json::json!({ "text": text, "route": route }).to_string())
        .collect();
    lines.push(serde_json::json!({ "text": "square root of 49", "label": "maths" }).to_string());
    std::fs::write(home.path("new.jsonl"), lines.join("\n")).unwrap();
    let mut references = served.references().await;
    let described = semroute::grpc::pb::Route {
        name: "maths".to_owned(),
        description: "sums".to_owned(),
        targets: vec!["demo".to_owned()],
        ..Default::default()
    };
    let upsert = semroute::grpc::pb::UpsertRouteRequest {
        set: "small".to_owned(),
        route: Some(described.clone()),
        expected_revision: None,
    };
    references.upsert_route(upsert).await.unwrap();
    let json = home.run(&["reindex", "--set", "small", "--files", "new.jsonl", "--json"]).await.json();
    assert_eq!(report(&json), (true, 3, 29, 1));
    let set = semroute::grpc::pb::GetSetRequest { name: "small".to_owned() };
    let set = references.get_set(set).await.unwrap().into_inner();
    assert_eq!((set.description.as_str(), set.policy.unwrap().min_similarity), ("for tests", Some(-1.0)));
    let list = semroute::grpc::pb::ListRoutesRequest { set: "small".to_owned() };
    let routes = references.list_routes(list).await.unwrap().into_inner().routes;
    let maths = routes.into_iter().find(|route| route.name == "maths").unwrap();
    assert_eq!((maths.description, maths.targets), (described.description, described.targets));
    eventually("version 3 is served", LIVE_WITHIN, async || (version().await == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reindex_that_makes_a_set_worse_is_refused() {
    let home = Home::new().await;
    let folder = home.path("reference-prompts/small");
    home.run(&["reindex", "--files", folder.to_str().unwrap(), "--json"]).await.json();
    // Every text under the route beside its own one, half of the time: neighbours no longer agree.
    let routes = PROMPTS.map(|(route, _)| route);
    for (at, route) in routes.iter().enumerate() {
        let texts = PROMPTS.iter().enumerate().flat_map(|(own, (_, texts))| {
            texts.iter().enumerate().filter(move |(n, _)| (own + n) % 4 == at).map(|(_, text)| (*text).to_owned())
        });
        std::fs::write(folder.join(format!("{route}.jsonl")), jsonl(&texts.collect::<Vec<_>>())).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let refused = home.run(&["reindex", "--files", folder]).await;
    refused.failed(1, &["was not published", "--force", "drop"]);
    // What was refused is not live; nothing is embedded again when it is forced.
    let lenient = home.run(&["reindex", "--max-agreement-drop", "0.01"]).await;
    lenient.failed(1, &["was not published"]);
    let local = home.run(&["route", "--local", "--json", "what is 12 times 17"]).await.json();
    assert_eq!((local["route"].as_str(), local["versions"]["set_version"].as_u64()), (Some("maths"), Some(1)));
    let forced = home.run(&["reindex", "--force", "--json"]).await.json();
    assert_eq!((forced["report"]["version"].as_u64(), forced["report"]["embedded"].as_u64()), (Some(2), Some(0)));
    assert!(forced["report"]["relabelled"].as_u64().unwrap() > 16, "{forced}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_verified() {
    let home = Home::new().await;
    let list = home.run(&["model", "list", "--json"]).await.json();
    let mini = list.as_array().unwrap().iter().find(|model| model["name"] == crate::server::MODEL).unwrap();
    assert_eq!((mini["state"].as_str(), mini["default"].as_bool()), (Some("verified"), Some(true)));
    assert!(home.run(&["model", "list"]).await.stdout.contains("verified"));
    let verified = home.run(&["model", "verify", "--json"]).await.json();
    let verified = verified.as_array().map_or(&verified, |models| &models[0]);
    assert_eq!((verified["whole"].as_bool(), verified["fingerprint"].as_str().map(str::len)), (Some(true), Some(16)));
    let unknown = home.run(&["model", "verify", "nope"]).await;
    unknown.failed(1, &["nope", crate::server::MODEL]);
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_faults_are_told_all_at_once() {
    let home = Home::new().await;
    let models = models_dir().await;
    home.configure(
        &models,
        "default_sett = 'x'\n[embedding]\nworkers = 1000\nbatch_tokens = 9999999\nmax_wait = '0s'\n[index]\nm = nan\nef_search = 3\n\
         [server]\ndrain_timeout = 'soon'\nmax_prompt_bytes = -1\n[dispatch]\nmax_attempts = nan\n\
         [[targets]]\nname = 't'\nprovider = 'nobody'\nmodel = 'm'\n[log]\nlevel = 'loud=='\n",
    );
    // `server` stands there twice, which TOML itself refuses.
    let twice = home.run(&["serve"]).await;
    twice.failed(1, &["semroute.toml", "server"]);
    let text = std::fs::read_to_string(home.path("semroute.toml")).unwrap();
    let text = text.replace("server.listen = '127.0.0.1:0'\n", "");
    std::fs::write(home.path("semroute.toml"), text).unwrap();
    let expected = [
        "semroute.toml",
        "\n  default_sett: ",
        "\n  embedding.workers: is 1000",
        "\n  embedding.batch_tokens: is 9999999",
        "\n  embedding.max_wait: is 0s",
        "\n  index.m: ",
        "\n  index.ef_search: is 3",
        "\n  server.drain_timeout: ",
        "\n  server.max_prompt_bytes: ",
        "\n  dispatch.max_attempts: ",
        "\n  targets[0].provider: ",
        "\n  log.level: ",
    ];
    for command in [&["serve"][..], &["reindex"], &["eval", "--test", "x"], &["route", "x"], &["model", "list"]] {
        home.run(command).await.failed(1, &expected);
    }
    assert!(!home.path("data").exists());
    std::fs::remove_file(home.path("semroute.toml")).unwrap();
    home.run(&["model", "list"]).await.failed(1, &["semroute.toml", "cannot be read"]);
    home.configure(&models, "");

    // From the environment, over the file.
    let child = home.command(&["model", "list"]).env("SEMROUTE__INDEX__M", "2").spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("index.m: is 2"));

    let set = home.path("reference-prompts/small/set.toml");
    std::fs::write(&set, format!("{EASY}[routes.maths]\nmin_score = nan\n[routes.code]\nmin_similarity = 7\n"))
        .unwrap();
    let faulty = home.run(&["serve"]).await;
    faulty.failed(1, &["2 faults", "set.toml:6: min_score", "set.toml:8: min_similarity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_code_2() {
    let home = Home::new().await;
    for (args, named) in [
        (&["serve", "--prot", "1"][..], "--prot"),
        (&["serve", "--listen", "everywhere"], "everywhere"),
        (&["swerve"], "swerve"),
        (&[], "Usage"),
        (&["route"], "TEXT"),
        (&["route", "--local", "--server", "http://x", "y"], "--server"),
        (&["route", "--neighbours", "-1", "y"], "-1"),
        (&["eval"], "--test"),
        (&["reindex", "--max-agreement-drop", "nan"], "--max-agreement-drop"),
        (&["reindex", "--max-agreement-drop", "5"], "from 0 to 1"),
        (&["reindex", "--min-recall", "NaN"], "--min-recall"),
        (&["model", "verify", "--all", "x"], "--all"),
    ] {
        home.run(args).await.failed(2, &[named]);
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["model", "pull", "--help"]] {
        let shown = home.run(args).await;
        assert!(shown.code == Some(0) && !shown.stdout.is_empty(), "{shown:?}");
    }
}
