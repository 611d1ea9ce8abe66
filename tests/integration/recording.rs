//! The audit log of a running server: every answer has its entry, whatever happens to the provider, the client, the
//! disk or the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use semroute::govern::audit::{Entry, Line, Method, Reader, Verified, Verify, files};
use semroute::govern::keys::{KeyTerms, Words, create, revoke};
use semroute::grpc::pb;
use tonic::{Code, Request, Status};

use crate::binary::Home;
use crate::expect::eventually;
use crate::outcome::{fault, is_fault};
use crate::probe::Samples;
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request, models_dir, route_request};

const MATHS: &str = "what is 7 times 8?";
pub(crate) const REQUIRED: &str = "[audit]\npolicy = 'required'\n";
const PATIENCE: Duration = Duration::from_secs(30);

fn folder(server: &TestServer) -> PathBuf {
    server.folder.path().join("data/audit")
}

fn lines(dir: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in files(dir).unwrap() {
        let mut reader = Reader::open(&file.path).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line);
        }
    }
    lines
}

pub(crate) fn entries(dir: &Path) -> Vec<Entry> {
    lines(dir).into_iter().filter_map(|line| line.entry).collect()
}

pub(crate) fn verified(dir: &Path) -> Verified {
    Verify { dir, from: None, key: None }.run(&mut |_| {}).unwrap()
}

/// `p0=status`, `p1=ok`.
fn tried(entry: &Entry) -> Vec<String> {
    entry.attempts.iter().map(|attempt| format!("{}={}", attempt.target, attempt.outcome)).collect()
}

/// All that the log holds, as text.
fn text(dir: &Path) -> String {
    files(dir).unwrap().iter().map(|file| std::fs::read_to_string(&file.path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_entry_before_it_arrives() {
    let first = Scripted::start([
        Script::completion("56"),
        Script::error(500, &format!("I do not like {MATHS:?}")),
        Script::stream(&["5", "6"]),
        Script::error(400, &format!("I do not like {MATHS:?}")),
    ])
    .await;
    let second = Scripted::start([Script::completion("fifty-six")]).await;
    let server = Setup::providers(&[first.address(), second.address()], REQUIRED).start().await;
    let dir = folder(&server);
    let mut router = server.router().await;

    let mut request = Request::new(route_request(MATHS));
    request.metadata_mut().insert("x-request-id", "mine-1".parse().unwrap());
    let routed = router.route(request).await.unwrap().into_inner().decision.unwrap();
    let [entry] = &entries(&dir)[..] else { panic!("{:?}", entries(&dir)) };
    assert_eq!((entry.method, entry.code.as_str(), entry.request_id.as_deref()), (Method::Route, "OK", Some("mine-1")));
    let decision = entry.decision.clone().unwrap();
    assert_eq!(
        (decision.id, decision.route.as_deref(), decision.set.as_str()),
        (routed.decision_id, Some("maths"), "small")
    );
    let shown: Vec<String> = routed.neighbours.iter().map(|neighbour| neighbour.id.clone()).collect();
    assert_eq!((decision.evidence, decision.model), (shown, routed.versions.unwrap().model));

    let batch = pb::RouteBatchRequest { requests: vec![route_request(MATHS), pb::RouteRequest::default()] };
    router.route_batch(batch).await.unwrap();
    let codes: Vec<String> = entries(&dir)[1..].iter().map(|entry| entry.code.clone()).collect();
    assert_eq!(codes.iter().filter(|code| *code == "OK").count(), 1, "{codes:?}");
    assert!(codes.contains(&"INVALID_ARGUMENT".to_owned()), "{codes:?}");

    router.complete(complete_request(MATHS)).await.unwrap();
    router.complete(complete_request(MATHS)).await.unwrap();
    let mut stream = router.complete_stream(complete_request(MATHS)).await.unwrap().into_inner();
    while let Some(event) = stream.message().await.unwrap() {
        if matches!(event.event, Some(pb::complete_event::Event::Served(_))) {
            assert_eq!(entries(&dir).len(), 6, "the last event comes after its entry");
        }
    }
    let refused = router.complete(complete_request(MATHS)).await.unwrap_err();
    assert_eq!(fault(&refused).1, "REJECTED_BY_PROVIDER");

    let found = entries(&dir);
    let [plain, over, streamed, refused] = &found[3..] else { panic!("{found:?}") };
    assert_eq!((plain.method, tried(plain)), (Method::Complete, vec!["p0=ok".to_owned()]));
    let answer = plain.answer.clone().unwrap();
    assert_eq!((answer.target.as_str(), answer.model.as_str(), answer.finish.as_str()), ("p0", "scripted", "stop"));
    let tokens = plain.attempts[0].tokens.unwrap();
    assert_eq!((tokens.input, tokens.output, plain.attempts[0].region.as_deref()), (3, 2, Some("region-0")));
    assert_eq!(tried(over), ["p0=status", "p1=ok"]);
    assert_eq!((streamed.method, tried(streamed)), (Method::CompleteStream, vec!["p0=ok".to_owned()]));
    assert_eq!(
        (refused.reason.as_deref(), tried(refused)),
        (Some("REJECTED_BY_PROVIDER"), vec!["p0=status".to_owned()])
    );
    // One prompt, one hash; and neither the prompt nor what was answered nor what a provider said of it.
    assert!(found.iter().filter_map(|entry| entry.prompt.as_ref()).all(|hash| Some(hash) == found[0].prompt.as_ref()));
    for secret in ["times 8", "fifty", "do not like"] {
        assert!(!text(&dir).contains(secret), "{secret}");
    }
    assert_eq!(Samples::of(server.http).await.value("semroute_audit_written_total"), 7.0);
    let _folder = server.stopped().await;
    assert_eq!(verified(&dir).fault, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_is_recorded_with_what_was_under_way() {
    let provider = Scripted::start([Script::events([Step::delta("5"), Step::Hang]), Script::hang()]).await;
    let server = Setup::providers(&[provider.address()], REQUIRED).start().await;
    let dir = folder(&server);
    let mut stream = server.router().await.complete_stream(complete_request(MATHS)).await.unwrap().into_inner();
    for _ in 0..2 {
        stream.message().await.unwrap();
    }
    drop(stream);
    let cancelled = async |count: usize| {
        eventually("it is recorded", PATIENCE, async || entries(&dir).get(count - 1).cloned()).await
    };
    let entry = cancelled(1).await;
    assert_eq!((entry.code.as_str(), tried(&entry)), ("CANCELLED", vec!["p0=cancelled".to_owned()]));
    assert!(entry.attempts[0].committed && entry.attempts[0].first_text_us.is_some());

    let mut router = server.router().await;
    let call = tokio::spawn(async move { router.complete(complete_request(MATHS)).await });
    eventually("the provider is asked", PATIENCE, async || (provider.requests().len() == 2).then_some(())).await;
    call.abort();
    let entry = cancelled(2).await;
    assert_eq!((entry.method, entry.code.as_str()), (Method::Complete, "CANCELLED"));
}

/// A completion that hangs, and what it is told when somebody else ends it.
#[tokio::test(flavor = "multi_thread")]
async fn what_we_end_is_recorded_as_the_caller_sees_it() {
    let provider = Scripted::start([Script::events([Step::delta("5"), Step::Hang]), Script::hang()]).await;
    let toml = format!("server.drain_timeout = '200ms'\nauth.mode = 'required'\n{REQUIRED}");
    let mut server = Setup::providers(&[provider.address()], &toml).start().await;
    let dir = folder(&server);
    let keys = server.app.keys.clone();
    let key = async || {
        let terms = KeyTerms { name: "k".to_owned(), may_route: true, ..KeyTerms::default() };
        let (key, secret) = create(keys.store().as_ref(), &Words::default(), terms, 1).await.unwrap();
        keys.refresh().await.unwrap();
        (key.id, secret.reveal().to_owned())
    };
    let asking = |secret: &str, timeout: Duration| {
        let mut request = Request::new(complete_request(MATHS));
        request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
        request.set_timeout(timeout);
        request
    };
    let router = server.router().await;
    // A stream and a whole answer, both ended; what they were told, and what is recorded of them.
    let both = async |secret: &str, end: &mut dyn FnMut()| {
        let before = provider.requests().len();
        let (mut one, mut other) = (router.clone(), router.clone());
        let mut stream = one.complete_stream(asking(secret, PATIENCE)).await.unwrap().into_inner();
        eventually("the stream is asked", PATIENCE, async || (provider.requests().len() == before + 1).then_some(()))
            .await;
        let whole = asking(secret, PATIENCE);
        let whole = tokio::spawn(async move { other.complete(whole).await.map(|_| ()) });
        eventually("both are asked", PATIENCE, async || (provider.requests().len() == before + 2).then_some(())).await;
        end();
        let told = loop {
            match stream.message().await {
                Ok(event) => assert!(event.is_some(), "it hangs"),
                Err(status) => break status,
            }
        };
        [fault(&told), fault(&whole.await.unwrap().unwrap_err())].map(|(code, reason)| (code, reason.to_owned()))
    };
    let recorded = async |count: usize| {
        let entries = eventually("both are recorded", PATIENCE, async || {
            Some(entries(&dir)).filter(|entries| entries.len() == count)
        });
        let ends =
            entries.await.into_iter().skip(count - 2).map(|entry| (entry.code, entry.reason.unwrap_or_default()));
        ends.collect::<Vec<_>>()
    };
    let check = |told: &[(Code, String)], recorded: &[(String, String)], code: Code, name: &str, reason: &str| {
        for (of_caller, of_log) in told.iter().zip(recorded) {
            assert_eq!((of_caller.0, of_caller.1.as_str()), (code, reason));
            assert_eq!((of_log.0.as_str(), of_log.1.as_str()), (name, reason));
        }
    };
    let (id, secret) = key().await;
    let store = keys.store().clone();
    let told = both(&secret, &mut || {
        let (store, keys, id) = (store.clone(), keys.clone(), id.clone());
        tokio::spawn(async move {
            revoke(store.as_ref(), &id, 2).await.unwrap();
            keys.refresh().await.unwrap();
        });
    })
    .await;
    check(&told, &recorded(2).await, Code::Unauthenticated, "UNAUTHENTICATED", "REVOKED_KEY");
    let (_, secret) = key().await;
    // Wherever the calls have come to by then. The caller's own clock may end them a moment before ours does, and he
    // then does not hear what we say.
    let (mut one, mut other) = (router.clone(), router.clone());
    let timeout = Duration::from_secs(1);
    let streamed = async {
        let mut stream = one.complete_stream(asking(&secret, timeout)).await?.into_inner();
        while stream.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let (streamed, whole) = tokio::join!(streamed, other.complete(asking(&secret, timeout)));
    assert!(streamed.is_err() && whole.is_err());
    for (code, _) in recorded(4).await {
        assert_eq!(code, "DEADLINE_EXCEEDED");
    }
    let told = both(&secret, &mut || server.ask_to_stop()).await;
    check(&told, &recorded(6).await, Code::Unavailable, "UNAVAILABLE", "SHUTTING_DOWN");
}

/// Longest file in bytes that the server may write.
const LIMIT: usize = 8 << 20;

/// Fills a file of the log so far that a few entries more are too many.
async fn nearly_full(dir: &Path) {
    let config = toml::from_str("policy = 'required'\nfsync = 'never'").unwrap();
    let audit = semroute::govern::audit::Audit::start(config, dir, None).unwrap();
    let entry = Entry { code: "x".repeat(100_000), ..Entry::default() };
    for _ in 0..(LIMIT - 60_000) / 100_300 {
        audit.record(entry.clone()).await.unwrap();
    }
    audit.close().await;
}

/// Blocks of `ulimit -f` in this shell: 512 or 1,024 bytes.
fn blocks() -> usize {
    let script = "trap '' XFSZ; ulimit -f 1; f=$(mktemp); head -c 9000 /dev/zero > $f 2>/dev/null; wc -c < $f; rm $f";
    let output = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    let block: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    LIMIT / block
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_or_is_counted_as_the_policy_says() {
    for (policy, is_required) in [("required", true), ("best_effort", false)] {
        let home = Home::new().await;
        let provider = Scripted::start([Script::completion("56")]).await;
        let target = format!(
            "[audit]\npolicy = '{policy}'\nrotate = 'never'\n[[providers]]\nname = 'p'\nkind = 'openai'\n\
             base_url = 'http://{}/v1'\n[[targets]]\nname = 'p'\nprovider = 'p'\nmodel = 'm'\n",
            provider.address()
        );
        home.configure(&models_dir().await, &target);
        std::fs::create_dir_all(home.path("data")).unwrap();
        nearly_full(&home.path("data")).await;
        let served = home.serve_limited(blocks()).await;
        let mut router = served.router().await;
        let mut answered = Vec::new();
        let mut failed = None;
        for _ in 0..400 {
            match router.complete(complete_request(MATHS)).await {
                Ok(answer) => answered.push(answer.into_inner().decision.unwrap().decision_id),
                Err(status) => {
                    failed = Some(status);
                    break;
                }
            }
        }
        if is_required {
            is_fault(&failed.expect("the disk is full"), Code::Unavailable, "AUDIT_UNAVAILABLE");
            // What cannot be recorded is not sent either.
            let asked = provider.requests().len();
            is_fault(
                &router.complete(complete_request(MATHS)).await.unwrap_err(),
                Code::Unavailable,
                "AUDIT_UNAVAILABLE",
            );
            assert_eq!(provider.requests().len(), asked);
        } else {
            assert!(failed.is_none(), "{failed:?}");
            assert!(served.log().contains("the audit log cannot be written to"), "{}", served.log());
        }
        served.kill().await;
        let dir = home.path("data/audit");
        assert_eq!(verified(&dir).fault, None, "{policy}");
        let recorded: Vec<String> =
            entries(&dir).into_iter().filter_map(|entry| entry.decision.map(|decision| decision.id)).collect();
        let missing = answered.iter().filter(|id| !recorded.contains(id)).count();
        assert_eq!(missing == 0, is_required, "{policy}: {missing} of {} are missing", answered.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_find_what_is_there_and_what_is_not() {
    let home = Home::new().await;
    home.configure(&models_dir().await, REQUIRED);
    home.run(&["audit", "verify"]).await.failed(1, &["there is no audit log in"]);
    let mut served = home.serve().await;
    let mut router = served.router().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let decision = router.complete(complete_request(MATHS)).await.unwrap().into_inner().decision.unwrap();
        ids.push(decision.decision_id);
    }
    // A second server must not write to the same log.
    let mut second = home.begin_to_serve();
    assert_eq!(second.ended().await, Some(1));
    let told =
        eventually("it says why", PATIENCE, async || Some(second.log()).filter(|log| log.contains("error:"))).await;
    assert!(told.contains("another process writes to the audit log"), "{told}");
    let meanwhile = home.run(&["audit", "verify"]).await;
    assert!(meanwhile.code == Some(0) && meanwhile.stdout.contains("The chain is whole."), "{meanwhile:?}");
    served.signal("TERM");
    assert_eq!(served.ended().await, Some(0), "{}", served.log());

    let found = home.run(&["audit", "verify", "--json"]).await.json();
    assert_eq!(
        (&found["entries"], &found["past_head"], &found["fault"]),
        (&3.into(), &0.into(), &serde_json::Value::Null)
    );
    let tail = home.run(&["audit", "tail", "-n", "2"]).await;
    let shown: Vec<&str> = tail.stdout.lines().collect();
    assert_eq!(shown.len(), 2, "{tail:?}");
    assert!(shown[1].ends_with(&ids[2]) && shown[1].contains("route=maths demo=ok"), "{tail:?}");
    let shown = home.run(&["audit", "show", "--decision", &ids[1]]).await.json();
    assert_eq!(shown["entry"]["decision"]["id"], ids[1].as_str());
    home.run(&["audit", "show", "--decision", "nobody"]).await.failed(1, &["no such entry"]);
    let by_prompt = home.run(&["audit", "show", "--prompt", MATHS]).await;
    assert_eq!(by_prompt.stdout.matches("\"prev\"").count(), 3, "{by_prompt:?}");
    let report = home.run(&["report", "--from", "1d", "--verify", "--json"]).await.json();
    assert_eq!((&report["completions"]["answered"], &report["routes"][0]["route"]), (&3.into(), &"maths".into()));
    let table = home.run(&["report"]).await;
    assert!(table.stdout.contains("3 completions: 3 answered"), "{table:?}");
    assert_eq!(home.run(&["report", "--to", "2001-01-01", "--json"]).await.json()["requests"], 0);

    let path = &files(&home.path("data/audit")).unwrap()[0].path;
    let changed = std::fs::read_to_string(path).unwrap().replacen("\"maths\"", "\"cooking\"", 1);
    std::fs::write(path, changed).unwrap();
    let broken = home.run(&["audit", "verify"]).await;
    assert!(broken.code == Some(1) && broken.stdout.contains(".jsonl, line 3: the line was changed"), "{broken:?}");
    home.run(&["report", "--verify"]).await.failed(1, &["the audit log is broken"]);
}
