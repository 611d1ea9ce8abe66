//! ReferenceService: prompts by the thousand, in and out.

use semroute::grpc::pb;
use tonic::Code;

use crate::expect::{refused, violated};
use crate::references::{References, prompt};
use crate::server::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_exported() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    references.make_route("s", "known").await;
    let prompts = [
        prompt("", "known", "naïve Größe — “quoted” \\ \"backslash\""),
        prompt("ж-1", "路由", "你好，世界"),
        prompt("line\u{2028}id", "🚀 route", "line one\nline two\r\n\ttabbed\u{0}nul \u{1F469}\u{200D}\u{1F680}"),
        prompt("z", "known", "  kept as it is \u{a0}"),
        prompt("", "known", "repeated"),
        prompt("", "known", "repeated"),
    ];
    // The set is named in the first message alone.
    let messages = || {
        let message = |set: &str, prompts: &[pb::ReferencePrompt]| pb::ImportRequest {
            set: set.to_owned(),
            prompts: prompts.to_vec(),
        };
        vec![message("s", &prompts[..2]), message("", &[]), message("ignored", &prompts[2..])]
    };
    let imported = references.import(messages()).await.unwrap();
    let mut created = imported.created_routes.clone();
    created.sort();
    assert_eq!((imported.received, created), (6, vec!["路由".to_owned(), "🚀 route".to_owned()]));
    assert_eq!(imported.revision, references.get_set("s").await.unwrap().revision);

    let exported = references.export("s").await.unwrap();
    assert!(exported.windows(2).all(|pair| pair[0].id < pair[1].id), "not in the order of their ids");
    let brief = |prompt: &pb::ReferencePrompt| (prompt.route.clone(), prompt.text.clone());
    let mut found: Vec<_> = exported.iter().map(brief).collect();
    let mut expected: Vec<_> = prompts[..5].iter().map(brief).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let again = references.import(messages()).await.unwrap();
    assert_eq!((again.received, again.created_routes.len(), again.revision), (6, 0, imported.revision));
    assert_eq!(references.export("s").await.unwrap(), exported);

    // Into another set: the same prompts under the same ids.
    references.make_set("copy").await;
    let copy = vec![pb::ImportRequest { set: "copy".to_owned(), prompts: exported.clone() }];
    assert_eq!(references.import(copy).await.unwrap().created_routes.len(), 3);
    let copied = references.export("copy").await.unwrap();
    let without = |prompts: &[pb::ReferencePrompt]| -> Vec<pb::ReferencePrompt> {
        prompts.iter().map(|prompt| pb::ReferencePrompt { revision: 0, ..prompt.clone() }).collect()
    };
    assert_eq!(without(&copied), without(&exported));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_many_and_refuses_what_cannot_be() {
    let server = Setup::default().start().await;
    let mut references = References(server.references().await);
    references.make_set("s").await;
    let message = |set: &str, prompts: Vec<pb::ReferencePrompt>| pb::ImportRequest { set: set.to_owned(), prompts };
    let many = |from: usize, to: usize| -> Vec<pb::ReferencePrompt> {
        (from..to).map(|n| prompt("", "r", &format!("text {n}"))).collect()
    };
    // More than a call may write, and more than an exported page.
    let imported =
        references.import(vec![message("s", many(0, 1_500)), message("", many(1_500, 2_100))]).await.unwrap();
    assert_eq!(imported.received, 2_100);
    let exported = references.export("s").await.unwrap();
    assert_eq!(exported.len(), 2_100);
    assert!(exported.windows(2).all(|pair| pair[0].id < pair[1].id));

    violated(references.import(vec![]).await, &["set"]);
    violated(references.import(vec![message("", many(0, 1))]).await, &["set"]);
    refused(references.import(vec![message("t", many(0, 1))]).await, Code::NotFound, "UNKNOWN_SET");
    refused(references.export("t").await, Code::NotFound, "UNKNOWN_SET");
    assert_eq!(references.get_set("s").await.unwrap().routes, 1);

    // A fault is told with its place; the batches before it stay, nothing of its own does.
    let mut faulty = many(3_000, 4_001);
    faulty.push(prompt("twice", "new", ""));
    faulty.push(prompt("twice", "new", "y"));
    let answer = references.import(vec![message("s", many(0, 1)), message("", faulty)]).await;
    violated(answer, &["messages[1].prompts[1001].text", "messages[1].prompts[1002].id"]);
    let after = references.get_set("s").await.unwrap();
    assert_eq!((after.prompts, after.routes), (3_100, 1));
}
