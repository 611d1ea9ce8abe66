//! Golden prompts, replayed by the real binary to scripted providers.

use serde_json::{Value, json};

use crate::binary::{Home, send};
use crate::scripted::{Received, Script, Scripted, Step};

/// Answers as the prompts want it, streamed or not.
async fn right() -> Scripted {
    Scripted::start_with(|_, request| {
        let text = match prompt(request).as_str() {
            "capital" => "Bern",
            "json" => "{\"city\": \"Bern\"}",
            _ => "in third place",
        };
        if request.json()["stream"] == true { Script::stream(&[text]) } else { Script::completion(text) }
    })
    .await
}

/// Another answer, a fence where JSON was asked for, and no answer at all.
async fn wrong() -> Scripted {
    Scripted::start_with(|_, request| match prompt(request).as_str() {
        "capital" => Script::completion("Zürich\u{1b}[2J"),
        "json" => Script::completion("```json\n{\"city\": \"Bern\"}\n```"),
        _ => Script::error(500, "later"),
    })
    .await
}

fn prompt(request: &Received) -> String {
    let messages = request.json()["messages"].as_array().cloned().unwrap_or_default();
    messages.last().and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
}

/// With a target for each server, a provider whose key is not there, golden prompts, and no model.
async fn home(servers: &[(&str, &Scripted)]) -> Home {
    let home = Home::new().await;
    let mut more = "[[providers]]\nname = 'keyed'\nkind = 'openai'\napi_key_env = 'NOWHERE_TO_BE_FOUND'\n\
                    [[targets]]\nname = 'keyed'\nprovider = 'keyed'\nmodel = 'm'\n"
        .to_owned();
    for (name, server) in servers {
        let url = server.url("/v1");
        more.push_str(&format!("[[providers]]\nname = '{name}'\nkind = 'openai'\nbase_url = '{url}'\n"));
        more.push_str(&format!("[[targets]]\nname = '{name}'\nprovider = '{name}'\nmodel = 'm-{name}'\n"));
    }
    home.configure(&home.path("no-models"), &more);
    let city = json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": {"city": {"type": "string"}},
    });
    let lines = [
        json!({"id": "capital", "prompt": "capital", "expect": {"exact": "Bern"}}),
        json!({"prompt": "json", "response_schema": city, "expect": {"finish": "stop"}}),
        json!({"prompt": "third", "expect": {"contains": "third", "not_contains": ["first", "second"]}}),
    ];
    std::fs::write(home.path("golden.jsonl"), lines.map(|line| format!("{line}\n")).concat()).unwrap();
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_compared_side_by_side_without_a_model_or_a_store() {
    let (right, wrong) = (right().await, wrong().await);
    let home = home(&[("right", &right), ("wrong", &wrong)]).await;
    let both = ["replay", "--golden", "golden.jsonl", "--target", "right", "--target", "wrong"];

    let ended = home.run(&[both.as_slice(), &["--json"]].concat()).await;
    ended.failed(1, &["wrong passed 0.0 %, less than 100.0 %"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let [first, second] = [&report["targets"][0], &report["targets"][1]];
    assert_eq!((&first["target"], &first["model"]), (&json!("right"), &json!("m-right")));
    assert_eq!((&first["passed"]["hits"], &first["schema"]["adheres"]["hits"]), (&json!(3), &json!(1)));
    assert_eq!(first["tokens"], json!({"input": 9, "output": 6, "cached_input": 0, "reasoning": 0, "unreported": 0}));
    assert!(first["latency"]["p50_ms"].is_f64() && first["first_text"].is_null(), "{first}");
    assert_eq!((&second["passed"]["hits"], &second["passed"]["rows"]), (&json!(0), &json!(3)));
    assert_eq!((&second["schema"]["lapses"], &second["errors"]), (&json!({"fenced": 1}), &json!({"status 500": 1})));
    let failed: Vec<_> = report["failures"].as_array().unwrap().iter().map(|at| (&at["id"], &at["check"])).collect();
    let expected = [("capital", "exact"), ("line 2", "json_schema"), ("line 3", "answer")];
    assert_eq!(failed, expected.map(|(id, check)| (json!(id), json!(check))).each_ref().map(|(id, check)| (id, check)));
    assert_eq!(report["differences"].as_array().unwrap().len(), 3);
    let asked = right.requests().into_iter().find(|request| prompt(request) == "json").unwrap().json();
    assert_eq!(asked["response_format"]["json_schema"]["schema"]["required"], json!(["city"]));

    let ended = home.run(&[both.as_slice(), &["--fail-under", "0"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("3 prompts on which the targets differ"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "an answer must not steer the terminal");

    let alone = ["replay", "--golden", "golden.jsonl", "--target", "right", "--stream", "--repeat", "3", "--json"];
    let report = home.run(&alone).await.json();
    assert_eq!(report["targets"][0]["passed"]["rows"], json!(9));
    assert!(report["targets"][0]["first_text"]["p99_ms"].is_f64(), "{report}");
    assert!(!home.store_path().exists() && !home.path("no-models").exists(), "neither is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_told_before_anything_is_sent() {
    let right = right().await;
    let home = home(&[("right", &right)]).await;
    let run = async |golden: &str, targets: &[&str]| {
        let mut args = vec!["replay", "--golden", golden];
        targets.iter().for_each(|target| args.extend(["--target", *target]));
        home.run(&args).await
    };
    run("golden.jsonl", &["right", "left"]).await.failed(1, &["no target is named left; configured are keyed, right"]);
    run("golden.jsonl", &["keyed"]).await.failed(1, &["keyed", "NOWHERE_TO_BE_FOUND"]);
    run("golden.jsonl", &[]).await.failed(2, &["--target"]);
    run("absent.jsonl", &["right"]).await.failed(1, &["absent.jsonl cannot be read"]);
    std::fs::write(home.path("bad.jsonl"), "{\"prompt\": \"p\"}\n\n{\"expect\": {\"regex\": \"(\"}}\n").unwrap();
    run("bad.jsonl", &["right"]).await.failed(
        1,
        &["bad.jsonl has 3 faults", "line 1: nothing is expected", "line 3: prompt is missing", "line 3: expect.regex"],
    );
    assert!(right.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_with_what_there_is() {
    let server =
        Scripted::start_with(|position, _| if position == 0 { Script::completion("Bern") } else { Script::hang() })
            .await;
    let home = home(&[("slow", &server)]).await;
    let args = ["replay", "--golden", "golden.jsonl", "--target", "slow", "--concurrency", "1", "--json"];
    let child = home.command(&args).spawn().unwrap();
    server.requested(2).await;
    send("INT", &child);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["subject"]["is_complete"], json!(false));
    assert_eq!(report["targets"][0]["passed"]["rows"], json!(1), "{report}");
    server.client_gone(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_has_no_answer_after_the_time_that_is_given() {
    let server = Scripted::start([Script::events([Step::delta("on"), Step::Hang])]).await;
    let home = home(&[("slow", &server)]).await;
    let args = ["replay", "--golden", "golden.jsonl", "--target", "slow", "--stream", "--timeout", "300ms", "--json"];
    let ended = home.run(&args).await;
    ended.failed(1, &["slow passed 0.0 %"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["targets"][0]["errors"], json!({"timeout": 3}));
}
