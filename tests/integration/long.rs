//! Texts that do not fit into one window of the model, and what surrounds a user's words.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use semroute::embed::{TextTokeniser, Tokens};
use semroute::grpc::pb;
use semroute::model::{Registry, Silent};
use serde::Deserialize;

use crate::server::{MODEL, Setup, models_dir, route_request};

/// The special tokens of the model around every window.
const CLS: u32 = 101;
const SEP: u32 = 102;

async fn tokeniser() -> TextTokeniser {
    let files = Registry::new(models_dir().await).find(MODEL).unwrap().open(&Silent::shared()).unwrap();
    TextTokeniser::from_file(&files.tokenizer().path, files.manifest().max_tokens).unwrap()
}

fn is_framed(tokens: &Tokens) {
    for window in tokens.windows() {
        assert!(window.len() <= 256 && window.first() == Some(&CLS) && window.last() == Some(&SEP), "{window:?}");
    }
}

/// A text with its embedding, computed with ONNX Runtime in single precision: the whole text tokenised, its first 48 and
/// its last 48 tokens embedded, and their mean taken.
#[derive(Deserialize)]
struct Row {
    /// `None`: the text of [`thirteen_thousand_words`].
    text: Option<String>,
    embedding: Vec<f32>,
}

fn thirteen_thousand_words() -> String {
    let words: Vec<String> = (0..3400).map(|at| format!("word{} river stone {}", at % 977, at % 13)).collect();
    format!("{} {}", words.join(" "), ["how do i bake a loaf of bread in a cold oven"; 30].join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_embedded_by_its_head_and_its_tail() {
    let server = Setup::default().start().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/minilm_long_embeddings.jsonl");
    let lines = std::io::BufReader::new(std::fs::File::open(path).unwrap()).lines();
    let rows: Vec<Row> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let text = row.text.unwrap_or_else(thirteen_thousand_words);
        let embedded = server.app.embedding.queue.embed(text.into(), None).await.unwrap();
        let cosine: f32 = embedded.embedding.as_slice().iter().zip(&row.embedding).map(|(a, b)| a * b).sum();
        // The head alone has 0.73 and 0.87.
        assert!(cosine > 0.99, "cosine {cosine}");
        assert_eq!(embedded.tokens, 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_that_is_read_counts_once() {
    let tokeniser = tokeniser().await;
    // Words of one token; 254 fit into a window.
    let check = |words: usize, windows: &[usize], seen: f32| {
        let tokens = tokeniser.tokenise(&"word ".repeat(words)).unwrap();
        assert_eq!(tokens.windows().map(<[u32]>::len).collect::<Vec<_>>(), windows, "{words} words");
        assert!((tokens.seen - seen).abs() < 2e-3, "{words} words: {}", tokens.seen);
        is_framed(&tokens);
    };
    check(1, &[3], 1.0);
    check(254, &[256], 1.0);
    check(255, &[50, 50], 96.0 / 255.0);
    check(960, &[50, 50], 0.1);
    check(96_000, &[50, 50], 0.001);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_holds_the_last_words() {
    let tokeniser = tokeniser().await;
    let text = format!("{} where is the zebra", "word ".repeat(2_000));
    let tail = tokeniser.tokenise(&text).unwrap().tail.unwrap();
    let last = tokeniser.tokenise("where is the zebra").unwrap().ids;
    assert_eq!(tail[tail.len() - 5..], last[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_long_texts_are_read_in_bounded_time() {
    let tokeniser = tokeniser().await;
    let mib = 1 << 20;
    let texts = [
        " ".repeat(mib),
        format!("7{}8", " ".repeat(mib)),
        "x".repeat(100_000),
        format!("{} {}", "x".repeat(100_000), "y".repeat(100_000)),
        "é".repeat(mib / 2),
        "e\u{301}".repeat(mib / 3),
        "👩‍👩‍👧‍👦".repeat(mib / 25),
        format!("a{}", "👩‍👩‍👧‍👦".repeat(mib / 25)),
        "七かける八は？".repeat(mib / 21),
        "\u{200b}\u{feff}".repeat(mib / 6),
        "\0\u{1}".repeat(mib / 2),
        "`".repeat(mib),
        "```\n".repeat(mib / 4),
        "[CLS] [SEP] ".repeat(mib / 12),
        "word ".repeat(10 * mib / 5),
    ];
    for text in texts {
        let begun = Instant::now();
        let tokens = tokeniser.tokenise(&text).unwrap();
        let start: String = text.chars().take(10).collect();
        assert!(begun.elapsed() < Duration::from_secs(2), "{start:?} takes {:?}", begun.elapsed());
        assert!((0.0..=1.0).contains(&tokens.seen), "{start:?}: {}", tokens.seen);
        is_framed(&tokens);
    }
    // Whatever lies between, both ends are read.
    let ends = tokeniser.tokenise(&format!("7{}8", " ".repeat(mib))).unwrap();
    assert_eq!((ends.ids.len(), ends.tail.map(|tail| tail.len())), (3, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_code_does_not_crowd_out_the_words_around_it() {
    let tokeniser = tokeniser().await;
    let code = "let value = compute(value, 17);\n".repeat(500);
    let tokens = tokeniser.tokenise(&format!("Why is this slow?\n```rust\n{code}```\nIt takes a minute.")).unwrap();
    let code_alone = tokeniser.tokenise(&code).unwrap();
    assert!(tokens.count() < code_alone.count() && tokens.seen < 0.1, "{} {}", tokens.count(), tokens.seen);
    let last = tokeniser.tokenise("It takes a minute.").unwrap().ids;
    let window = tokens.windows().last().unwrap();
    assert_eq!(window[window.len() + 1 - last.len()..], last[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_wrap_around_a_request_does_not_change_the_decision() {
    let server = Setup::default().start().await;
    let mut router = server.router().await;
    let mut decide = async |text: &str| {
        let response = router.route(route_request(text)).await.unwrap().into_inner();
        response.decision.unwrap()
    };
    let ask = "how long do I boil an egg";
    let bare = decide(ask).await;
    let reminder = "Write SQL queries in C and translate them to French. ".repeat(100);
    for wrapped in [
        format!("<system-reminder>\n{reminder}\n</system-reminder>\n{ask}"),
        format!("<task>\n{ask}\n</task>\n<environment_details>\n{reminder}\n</environment_details>"),
        format!("<attached_files>\n{reminder}\n</attached_files>\n<user_query>\n{ask}\n</user_query>"),
    ] {
        let decision = decide(&wrapped).await;
        assert_eq!((&decision.route, decision.score), (&bare.route, bare.score), "{wrapped}");
        assert_eq!((decision.input_seen, decision.input_tokens), (1.0, bare.input_tokens));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_prompts_and_requests_are_read_alike() {
    let server = Setup::default().start().await;
    let code = "SELECT name FROM users;\n".repeat(200);
    let texts = [
        format!("{} and then how do I glaze it", "the dough rests for an hour ".repeat(150)),
        format!("what is slow here\n```\n{code}```\n"),
        "<system-reminder>\nBe brief.\n</system-reminder>\nwhere do I buy saffron".to_owned(),
    ];
    let prompts = texts.iter().map(|text| pb::ReferencePrompt {
        route: "cooking".to_owned(),
        text: text.clone(),
        ..pb::ReferencePrompt::default()
    });
    let mut references = server.references().await;
    let upsert = pb::UpsertReferencePromptsRequest {
        set: "small".to_owned(),
        prompts: prompts
            .map(|prompt| pb::ReferencePromptWrite { prompt: Some(prompt), ..Default::default() })
            .collect(),
    };
    references.upsert_reference_prompts(upsert).await.unwrap();
    references.publish(pb::PublishRequest { set: "small".to_owned(), ..Default::default() }).await.unwrap();
    let mut router = server.router().await;
    for text in texts {
        let decision = router.route(route_request(&text)).await.unwrap().into_inner().decision.unwrap();
        let nearest = &decision.neighbours[0];
        assert!(nearest.route == "cooking" && nearest.similarity > 0.999, "{nearest:?}");
    }
}
