//! `semroute eval` with all that it tells, and `semroute doctor`: from files to reports and exit codes.

use crate::binary::Home;

fn labelled(rows: &[(&str, &str)]) -> String {
    rows.iter().map(|(text, label)| format!("{}\n", serde_json::json!({ "text": text, "label": label }))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_tells_everything() {
    let home = Home::new().await;
    let test = [("what is 9 times 6?", "maths"), ("Spanish for window", "translation"), ("recipe for soup", "cooking")];
    std::fs::write(home.path("test.jsonl"), labelled(&test)).unwrap();
    let outside = "{\"text\": \"<script>alert(1)</script>\", \"label\": \"oos\", \"kind\": \"far\"}\n";
    std::fs::write(home.path("outside.jsonl"), outside).unwrap();
    let prices = "currency = 'USD'\ndefault = 'large'\n[targets]\nlarge = { input = 10, output = 20 }\n\
        small = { input = 1, output = 2 }\n[routes]\nmaths = 'small'\n";
    std::fs::write(home.path("prices.toml"), prices).unwrap();
    let references = home.path("reference-prompts/small");
    let mut args = vec!["eval", "--references", references.to_str().unwrap(), "--test", "test.jsonl"];
    args.extend(["--shots", "5", "--out-of-scope", "outside.jsonl", "--stability", "--prices", "prices.toml"]);
    args.extend(["--html", "report.html", "--json"]);
    let json = home.run(&args).await.json();
    assert_eq!(
        (json["references"].as_u64(), json["shots"].as_u64(), json["seed"].as_u64()),
        (Some(20), Some(5), Some(13))
    );
    assert_eq!(json["report"]["own_thresholds"].as_array().unwrap().len(), 3, "{json}");
    assert_eq!(json["report"]["out_of_scope"]["kinds"][0]["kind"], "far");
    assert_eq!(json["stability"]["kinds"].as_array().unwrap().len(), 7);
    assert_eq!(json["bill"]["alternatives"][0]["target"], "large");
    let page = std::fs::read_to_string(home.path("report.html")).unwrap();
    assert!(page.contains("Evaluation of small") && page.contains("<circle class=\"point\""), "{page}");
    assert!(!page.contains("<script"), "no prompt is markup");

    std::fs::write(home.path("prices.toml"), "currency = 'USD'\n[targets]\nlarge = { input = -1, output = 0 }\n")
        .unwrap();
    home.run(&args).await.failed(1, &["prices.toml", "targets.large.input is -1"]);
    args.retain(|arg| !matches!(*arg, "--prices" | "prices.toml" | "report.html" | "--html"));
    args.extend(["--html", "no/such/folder/report.html"]);
    home.run(&args).await.failed(1, &["no/such/folder/report.html", "cannot be written"]);
    home.run(&["eval", "--test", "test.jsonl", "--shots", "5"]).await.failed(2, &["--references"]);
    home.run(&["eval", "--test", "test.jsonl", "--output-tokens", "nan"]).await.failed(2, &["--output-tokens"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_names_what_is_wrong() {
    let home = Home::new().await;
    let references = home.path("reference-prompts/small");
    let references = references.to_str().unwrap();
    let healthy = home.run(&["doctor", "--references", references, "--json"]).await.json();
    assert_eq!((healthy["prompts"].as_u64(), healthy["errors"].as_u64()), (Some(32), Some(0)), "{healthy}");
    let strict = ["doctor", "--references", references, "--fail-on", "warning"];
    assert_eq!(home.run(&strict).await.code, Some(1), "eight prompts a route are few");
    let lenient =
        [&strict[..], &["--min-prompts", "5", "--contradiction", "1", "--habit", "1", "--habit-elsewhere", "0"]];
    let lenient = home.run(&lenient.concat()).await;
    assert!(lenient.stdout.starts_with("small: 4 routes, 32 prompts"), "{lenient:?}");

    // The same text in two routes cannot be served, and can be examined.
    let maths = home.path("reference-prompts/small/maths.jsonl");
    let mut prompts = std::fs::read_to_string(&maths).unwrap();
    prompts.push_str("{\"text\": \"Translate good morning into FRENCH!\"}\n");
    std::fs::write(&maths, prompts).unwrap();
    let sick = home.run(&["doctor", "--references", references]).await;
    assert!(
        sick.code == Some(1) && sick.stdout.contains("error: duplicate_across_routes in maths, translation"),
        "{sick:?}"
    );
    home.run(&["doctor", "--references", references, "--fail-on", "never", "--json"]).await.json();
    home.run(&["doctor"]).await.failed(1, &["small", "semroute serve"]);
    home.run(&["doctor", "--contradiction", "NaN"]).await.failed(2, &["--contradiction"]);
    home.run(&["doctor", "--references", "absent"]).await.failed(1, &["absent"]);
}
