//! `semroute bench`: what it sends, counts and reports, against servers that are well, overloaded, stopped or absent.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::binary::{Home, jsonl, many_texts, send};
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer};

/// The report of a run that must succeed.
async fn bench(home: &Home, server: &TestServer, args: &[&str]) -> Value {
    let address = server.address.to_string();
    let fixed = ["bench", "--json", "--server", address.as_str()];
    home.run(&[&fixed[..], args].concat()).await.json()
}

fn count(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no count {pointer}: {report}"))
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {pointer}: {report}"))
}

/// What every report must keep, whatever happened.
#[track_caller]
fn adds_up(report: &Value) {
    let of = |name: &str| count(report, &format!("/requests/{name}"));
    assert_eq!(of("due"), of("sent") + of("not_sent"), "{report}");
    assert_eq!(of("sent"), of("ok") + of("failed") + of("unfinished"), "{report}");
    assert_eq!(of("sent"), count(report, "/prompts/novel") + count(report, "/prompts/repeated"), "{report}");
    let errors = report["errors"].as_array().unwrap();
    assert_eq!(of("failed"), errors.iter().map(|error| count(error, "/count")).sum::<u64>(), "{report}");
    let stages = report["stages"].as_array().unwrap();
    assert_eq!(of("ok"), stages.iter().map(|stage| count(stage, "/count")).sum::<u64>(), "{report}");
    for times in ["latency_ms", "service_ms"].map(|name| &report[name]).into_iter().filter(|times| !times.is_null()) {
        let quantiles = ["p50", "p90", "p99", "p99_9", "max"].map(|name| times[name].as_f64().unwrap());
        assert!(quantiles.is_sorted() && times["mean"].as_f64().unwrap() > 0.0, "{report}");
        assert_eq!(count(times, "/count"), of("ok"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_sends_as_many_as_it_was_told() {
    let (home, server) = (Home::new().await, Setup::default().start().await);
    let report = bench(&home, &server, &["--concurrency", "2", "--requests", "20", "--warmup", "0s"]).await;
    adds_up(&report);
    assert_eq!((count(&report, "/requests/ok"), count(&report, "/requests/failed")), (20, 0), "{report}");
    assert!((1..=2).contains(&count(&report, "/generator/in_flight_peak")), "{report}");
    assert_eq!(
        (report["profile"]["loop"].as_str(), report["stages"][0]["stage"].as_str()),
        (Some("closed"), Some("embedding"))
    );
    // The 32 reference prompts are marked, or they would be no question.
    assert_eq!((count(&report, "/prompts/marked"), count(&report, "/prompts/distinct")), (20, 32));
    assert!(number(&report, "/prompts/mean_tokens") > 5.0 && number(&report, "/throughput/goodput_per_second") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_keeps_its_schedule_and_its_mix() {
    let (home, server) = (Home::new().await, Setup::default().start().await);
    std::fs::write(home.path("prompts.jsonl"), jsonl(&many_texts(12))).unwrap();
    let args = ["--rate", "20", "--duration", "2s", "--warmup", "500ms", "--threads", "2", "--seed", "7"];
    let mix = ["--prompts", "prompts.jsonl", "--repeats", "0.5", "--pool", "5"];
    let report = bench(&home, &server, &[&args[..], &mix].concat()).await;
    adds_up(&report);
    // The schedule is the seed's: 40 a Poisson process of 20 a second in 2 s, within four standard deviations.
    assert!((15..=65).contains(&count(&report, "/requests/due")), "{report}");
    assert_eq!(count(&report, "/requests/due"), count(&report, "/generator/lag_ms/count"));
    assert_eq!((number(&report, "/profile/seconds"), number(&report, "/profile/rate_per_second")), (2.0, 20.0));
    let [novel, repeated] = ["/prompts/novel", "/prompts/repeated"].map(|name| count(&report, name));
    assert!(novel > 0 && repeated > 0, "{report}");
    // Seven of the file's texts are not in the pool; novelty beyond them takes marks.
    assert!(count(&report, "/prompts/marked") >= novel.saturating_sub(7), "{report}");

    let args = ["bench", "--rate", "50", "--requests", "10", "--warmup", "0s", "--method", "stream", "--server"];
    let shown = home.run(&[&args[..], &[&server.address.to_string()]].concat()).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for said in
        ["open loop at 50 a second", "10 due: 10 OK", "first event", "first text", "decided by: embedding 100.0 %"]
    {
        assert!(shown.stdout.contains(said), "{said:?} is not in\n{}", shown.stdout);
    }
    assert!(shown.stderr.contains("Measuring"), "{}", shown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_code_with_times_of_their_own() {
    let home = Home::new().await;
    let server = Setup::toml("embedding.queue_capacity = 1\nembedding.workers = 1").start().await;
    let report = bench(&home, &server, &["--concurrency", "64", "--duration", "1s", "--warmup", "0s"]).await;
    adds_up(&report);
    let refused = &report["errors"][0];
    assert_eq!(refused["code"], "RESOURCE_EXHAUSTED", "{report}");
    assert!(
        count(refused, "/count") > 0 && count(refused, "/unanswered") == 0 && number(refused, "/service_ms/max") > 0.0
    );
    assert!(count(&report, "/requests/ok") > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_and_the_bound_on_requests_under_way_are_kept() {
    let home = Home::new().await;
    let provider = Scripted::start([Script::completion("56"), Script::hang()]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let args = ["--rate", "50", "--duration", "1s", "--warmup", "0s", "--method", "complete"];
    let report = bench(&home, &server, &[&args[..], &["--timeout", "700ms", "--max-in-flight", "3"]].concat()).await;
    adds_up(&report);
    assert_eq!((report["errors"][0]["code"].as_str(), count(&report, "/requests/ok")), (Some("DEADLINE_EXCEEDED"), 1));
    assert!(count(&report, "/requests/not_sent") > 0 && count(&report, "/generator/in_flight_peak") == 3, "{report}");
    assert!(number(&report["errors"][0], "/service_ms/max") < 2_000.0, "{report}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("max-in-flight") && report["generator"]["kept_schedule"] == false, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_reports_what_it_measured() {
    let home = Home::new().await;
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let address = server.address.to_string();
    let args = ["bench", "--json", "--concurrency", "1", "--duration", "60s", "--warmup", "0s", "--method", "complete"];
    let mut child = home.command(&[&args[..], &["--server", &address]].concat()).spawn().unwrap();
    // The third is asked for when two have been answered.
    provider.requested(3).await;
    send("INT", &child);
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("it ends").unwrap();
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).await.unwrap();
    let report: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {ended} {shown:?}"));
    adds_up(&report);
    assert!(ended.success() && report["profile"]["interrupted"] == true && count(&report, "/requests/ok") >= 2);
    assert!(number(&report, "/profile/seconds") < 30.0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_no_failure_of_the_run() {
    let home = Home::new().await;
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "").start().await;
    let address = server.address.to_string();
    let args = ["bench", "--json", "--concurrency", "1", "--duration", "3s", "--warmup", "0s", "--method", "complete"];
    let child = home.command(&[&args[..], &["--server", &address]].concat()).spawn().unwrap();
    provider.requested(3).await;
    server.stopped().await;
    let output =
        tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.expect("it ends").unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    adds_up(&report);
    assert!(output.status.success() && count(&report, "/requests/ok") >= 2, "{report}");
    assert!(count(&report, "/requests/unanswered") > 0, "{report}");
    assert!(report["errors"].to_string().contains("UNAVAILABLE"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_a_rate_tells_its_steps() {
    let (home, server) = (Home::new().await, Setup::default().start().await);
    let address = server.address.to_string();
    let args = ["bench", "--json", "--find-rate", "--rate", "400", "--slo", "1us", "--duration", "200ms"];
    // No answer comes within a microsecond: the search gives up, and the answer is no.
    let ended = home.run(&[&args[..], &["--warmup", "0s", "--server", &address]].concat()).await;
    let found: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!((ended.code, &found["sustained_rate_per_second"]), (Some(1), &Value::Null));
    let rates: Vec<f64> =
        found["steps"].as_array().unwrap().iter().map(|step| number(step, "/rate_per_second")).collect();
    assert_eq!(rates, [400.0, 200.0, 100.0, 50.0, 25.0], "{found}");
    assert!(found["steps"].as_array().unwrap().iter().all(|step| !step["why"].as_str().unwrap().is_empty()), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_server_is_told_apart() {
    let home = Home::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    home.run(&["bench", "--server", &nobody]).await.failed(1, &["no server answers at http://", &nobody]);
    // It speaks another protocol.
    let other = Scripted::start([Script::garbage()]).await;
    home.run(&["bench", "--server", &other.url("")]).await.failed(1, &["does not speak gRPC"]);
    // It listens and takes nobody in, as a server does that is still starting.
    let starting = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = starting.local_addr().unwrap().to_string();
    home.run(&["bench", "--server", &address]).await.failed(1, &[&address, "still starting"]);
    home.run(&["bench", "--server", "https://127.0.0.1:1"])
        .await
        .failed(1, &["no server answers at https://127.0.0.1:1"]);
    home.run(&["bench", "--server", "somewhere"]).await.failed(1, &["somewhere", "port"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_that_cannot_be_sent_are_told_before_anything_is() {
    let home = Home::new().await;
    let check = async |content: &str, named: &[&str]| {
        std::fs::write(home.path("p.jsonl"), content).unwrap();
        home.run(&["bench", "--prompts", "p.jsonl"]).await.failed(1, named);
    };
    check("", &["p.jsonl", "no prompts"]).await;
    check("{\"text\": \"a\"}\n\n{\"text\": 3}\nnonsense\n", &["p.jsonl has 2 faults", "line 3: ", "line 4: "]).await;
    home.run(&["bench", "--prompts", "absent.jsonl"]).await.failed(1, &["absent.jsonl", "cannot be read"]);
    home.run(&["bench", "--set", "unknown"]).await.failed(1, &["unknown", "no prompts"]);
    for (args, named) in [
        (&["--rate", "0"][..], "0.01"),
        (&["--rate", "nan"], "from 0.01"),
        (&["--rate", "5", "--concurrency", "5"], "--concurrency"),
        (&["--repeats", "1.5"], "from 0 to 1"),
        (&["--duration", "0s"], "above 0"),
        (&["--timeout", "soon"], "soon"),
        (&["--requests", "0"], "0"),
        (&["--threads", "0"], "0"),
        (&["--requests", "5", "--duration", "5s"], "--duration"),
    ] {
        home.run(&[&["bench"], args].concat()).await.failed(2, &[named]);
    }
}
