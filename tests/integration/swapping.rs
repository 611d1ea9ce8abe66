//! What is answered while versions change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use semroute::grpc::pb;

use crate::publishing::{SET, publish, served, write};
use crate::server::{Setup, route_request};

/// What an answer said of itself.
struct Said {
    version: u64,
    /// The numbers at the ends of the names of its route, of its neighbours' routes and of all that it weighed.
    generations: BTreeSet<String>,
}

/// Asks until it is told to stop; every call must be answered.
async fn ask(
    mut router: pb::router_service_client::RouterServiceClient<tonic::transport::Channel>,
    stop: Arc<AtomicBool>,
) -> Vec<Said> {
    let mut said = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut request = route_request(["how do I bake bread", "what is 3 plus 4"][said.len() % 2]);
        request.options = Some(pb::RouteOptions { explain: true, ..pb::RouteOptions::default() });
        let decision = router.route(request).await.unwrap().into_inner().decision.unwrap();
        let routes = std::iter::once(&decision.route)
            .chain(decision.neighbours.iter().map(|neighbour| &neighbour.route))
            .chain(decision.alternatives.iter().map(|score| &score.route));
        let generations = routes.map(|route| route.rsplit('-').next().unwrap().to_owned()).collect();
        said.push(Said { version: decision.versions.unwrap().set_version, generations });
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_lost_or_mixed_while_versions_change() {
    let server = Setup::default().start().await;
    let mut references = server.references().await;
    // The same texts, each time under routes of another name: embedded once, and an answer that mixes versions shows.
    let mut generation_of = BTreeMap::from([(1, "0".to_owned())]);
    let texts = ["how do I bake a loaf", "what goes into a curry", "what is 2 plus 2", "divide 12 by 4"];
    let mut asking = Vec::new();
    let stop = Arc::new(AtomicBool::new(false));
    for generation in 1..=5 {
        let names = [format!("cooking-{generation}"), format!("maths-{generation}")];
        for name in &names {
            let route = Some(pb::Route { name: name.clone(), ..pb::Route::default() });
            let request = pb::UpsertRouteRequest { set: SET.to_owned(), route, expected_revision: None };
            references.upsert_route(request).await.unwrap();
        }
        let prompts: Vec<(&str, &str, &str)> =
            texts.iter().enumerate().map(|(at, text)| (*text, names[at / 2].as_str(), *text)).collect();
        write(&server, &prompts).await;
        for route in
            references.list_routes(pb::ListRoutesRequest { set: SET.to_owned() }).await.unwrap().into_inner().routes
        {
            if !names.contains(&route.name) {
                let request = pb::DeleteRouteRequest {
                    set: SET.to_owned(),
                    name: route.name,
                    with_prompts: true,
                    expected_revision: None,
                };
                references.delete_route(request).await.unwrap();
            }
        }
        let published = publish(&server).await.unwrap().set.unwrap().published_version;
        generation_of.insert(published, generation.to_string());
        // Live when Publish returns, and not taken back by somebody who read the store before.
        assert_eq!(served(&server).await.unwrap(), published);
        if asking.is_empty() {
            for _ in 0..2 {
                asking.push(tokio::spawn(ask(server.router().await, Arc::clone(&stop))));
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for task in asking {
        let said = task.await.unwrap();
        answers += said.len();
        assert!(said.windows(2).all(|pair| pair[0].version <= pair[1].version), "a version came back");
        for said in said {
            assert_eq!(
                said.generations,
                BTreeSet::from([generation_of[&said.version].clone()]),
                "version {}",
                said.version
            );
        }
    }
    assert!(answers >= 4, "{answers} answers say little");
}
