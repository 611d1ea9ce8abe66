//! Saved indexes: a start reads them, what is wrong with one costs time and nothing else, and a version that differs
//! little takes over the graph of the one before.

use std::path::PathBuf;

use semroute::grpc::pb;

use crate::binary::{Home, Served, jsonl, many_texts};
use crate::server::{models_dir, route_request};

const HNSW: &str = "[index]\nkind = 'hnsw'\n";

/// A home whose set has a graph.
async fn home() -> Home {
    let home = Home::new().await;
    home.configure(&models_dir().await, HNSW);
    home
}

fn saved(home: &Home) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(home.path("data/indexes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn route_of(served: &Served, text: &str) -> String {
    let decision = served.router().await.route(route_request(text)).await.unwrap().into_inner().decision.unwrap();
    decision.route
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_reads_what_was_saved_and_builds_what_is_damaged() {
    let home = home().await;
    let served = home.serve().await;
    assert_eq!(route_of(&served, "what is 2 plus 2").await, "maths");
    assert!(served.log().contains("saved the index"), "{}", served.log());
    served.kill().await;
    let [file] = saved(&home).try_into().unwrap();
    let whole = std::fs::read(&file).unwrap();

    let served = home.serve().await;
    assert_eq!(route_of(&served, "what is 2 plus 2").await, "maths");
    let log = served.log();
    assert!(log.contains("read the saved index") && !log.contains("saved the index"), "{log}");
    served.kill().await;

    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty", Vec::new(), "it is no index of semroute"),
        ("foreign", b"SQLite format 3\0".repeat(100), "it is no index of semroute"),
        ("cut", whole[..whole.len() / 2].to_vec(), "its header speaks of"),
        ("a changed header", flipped(20), "its checksum is wrong"),
        ("a changed link", flipped(whole.len() / 2), "its checksum is wrong"),
        ("a changed checksum", flipped(whole.len() - 1), "its checksum is wrong"),
    ];
    for (case, bytes, told) in cases {
        std::fs::write(&file, bytes).unwrap();
        let served = home.serve().await;
        assert_eq!(route_of(&served, "what is 2 plus 2").await, "maths", "{case}");
        assert!(served.log().contains(told), "{case}: {}", served.log());
        served.kill().await;
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len(), "{case}: it is saved anew");
    }

    // Other parameters ask for another graph.
    home.configure(&models_dir().await, "[index]\nkind = 'hnsw'\nm = 8\n");
    let served = home.serve().await;
    assert!(served.log().contains("m is 16, expected 8"), "{}", served.log());
    assert_eq!(route_of(&served, "what is 2 plus 2").await, "maths");
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_saved_is_served_all_the_same() {
    let home = home().await;
    std::fs::create_dir_all(home.path("data")).unwrap();
    std::fs::write(home.path("data/indexes"), "a file where the folder should be").unwrap();
    let served = home.serve().await;
    assert_eq!(route_of(&served, "what is 2 plus 2").await, "maths");
    assert!(served.log().contains("the index cannot be saved"), "{}", served.log());
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_references_are_not_found_in_the_graph_that_goes_on() {
    let home = home().await;
    let texts = many_texts(120);
    std::fs::write(home.path("many.jsonl"), jsonl(&texts).replace("{\"text\"", "{\"route\":\"maths\",\"text\""))
        .unwrap();
    let first = home.run(&["reindex", "--set", "small", "--files", "many.jsonl", "--json", "--force"]).await;
    assert_eq!(first.json()["report"]["index"], "hnsw");

    let few = jsonl(&texts[5..]).replace("{\"text\"", "{\"route\":\"maths\",\"text\"");
    std::fs::write(home.path("many.jsonl"), few).unwrap();
    let second = home.run(&["reindex", "--set", "small", "--files", "many.jsonl", "--json", "--force"]).await;
    assert_eq!(second.json()["report"]["prompts"], 115);
    assert!(second.stderr.contains("took over the graph"), "{second:?}");

    let served = home.serve().await;
    assert!(served.log().contains("read the saved index"), "{}", served.log());
    let mut request = route_request(&texts[2]);
    request.options =
        Some(pb::RouteOptions { max_neighbours: Some(10), explain: true, allow_llm: None, target_accuracy: None });
    let decision = served.router().await.route(request).await.unwrap().into_inner().decision.unwrap();
    let found: Vec<&str> = decision.neighbours.iter().map(|neighbour| neighbour.text.as_str()).collect();
    assert!(found.len() == 10 && texts[..5].iter().all(|gone| !found.contains(&gone.as_str())), "{found:?}");
    served.kill().await;
    assert_eq!(saved(&home).len(), 2, "the version before keeps its file for a rollback");
}
