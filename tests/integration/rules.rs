//! Data policies, contexts and orders, from the request to the provider: what must not go somewhere never gets there.

use semroute::grpc::pb;
use semroute::reference::SetPolicy;
use serde_json::json;
use tonic::Code;

use crate::outcome::{is_fault, summary, tried};
use crate::scripted::{Script, Scripted};
use crate::server::{Setup, TestServer, complete_request, route_request};

const MATHS: &str = "what is 7 times 8?";

fn only_in(regions: &[&str]) -> Option<pb::DataPolicy> {
    let allowed_regions = regions.iter().map(|region| (*region).to_owned()).collect();
    Some(pb::DataPolicy { allowed_regions, ..pb::DataPolicy::default() })
}

fn completion(prompt: &str, data_policy: Option<pb::DataPolicy>) -> pb::CompleteRequest {
    pb::CompleteRequest { data_policy, ..complete_request(prompt) }
}

async fn complete(server: &TestServer, request: pb::CompleteRequest) -> Result<pb::CompleteResponse, tonic::Status> {
    server.router().await.complete(request).await.map(tonic::Response::into_inner)
}

async fn three(script: impl Fn(usize) -> Script) -> Vec<Scripted> {
    let mut providers = Vec::new();
    for at in 0..3 {
        providers.push(Scripted::start([script(at)]).await);
    }
    providers
}

fn requests(providers: &[Scripted]) -> Vec<usize> {
    providers.iter().map(|provider| provider.requests().len()).collect()
}

async fn start(providers: &[Scripted], more: &str) -> TestServer {
    let addresses: Vec<_> = providers.iter().map(Scripted::address).collect();
    Setup::providers(&addresses, more).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_leads_out_of_the_allowed_region() {
    let providers = three(|_| Script::error(500, "oops")).await;
    let server = start(&providers, "").await;
    let status = complete(&server, completion(MATHS, only_in(&["region-1"]))).await.unwrap_err();
    is_fault(&status, Code::Unavailable, "ALL_TARGETS_FAILED");
    // Tried again, and nobody else.
    assert_eq!(summary(&tried(&status).attempts), ["p1=status 500"; 3]);
    assert_eq!(requests(&providers), [0, 3, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_left_nothing_is_sent_and_every_refusal_is_told() {
    let providers = three(|_| Script::completion("never")).await;
    let server = start(&providers, "policy.denied_providers = ['p0']\n").await;
    let policy = || {
        let max_retention = Some(prost_types::Duration::default());
        only_in(&["region-0", "region-2"]).map(|policy| pb::DataPolicy { max_retention, ..policy })
    };
    let check = |status: &tonic::Status| {
        is_fault(status, Code::FailedPrecondition, "NO_ALLOWED_TARGET");
        let refused = tried(status).refused;
        let refused: Vec<_> =
            refused.iter().map(|refusal| (refusal.target.as_str(), refusal.reason_code.as_str())).collect();
        assert_eq!(refused, [("p0", "provider_denied"), ("p1", "region"), ("p2", "retention_unknown")]);
        assert!(status.message().contains("region \"region-1\" is not among the allowed"), "{}", status.message());
    };
    check(&complete(&server, completion(MATHS, policy())).await.unwrap_err());
    let stream = server.router().await.complete_stream(completion(MATHS, policy())).await;
    match stream {
        Err(status) => check(&status),
        Ok(stream) => {
            let mut stream = stream.into_inner();
            stream.message().await.unwrap();
            check(&stream.message().await.unwrap_err());
        }
    }
    assert_eq!(requests(&providers), [0, 0, 0]);

    // A pin steps over no rule either, and Route tells the same.
    let pinned = pb::CompleteRequest { pin_target: "p0".to_owned(), ..complete_request(MATHS) };
    let status = complete(&server, pinned).await.unwrap_err();
    is_fault(&status, Code::FailedPrecondition, "NO_ALLOWED_TARGET");
    let request = pb::RouteRequest { data_policy: policy(), ..route_request(MATHS) };
    let plan = server.router().await.route(request).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.targets.len(), plan.refused.len()), (0, 3));
    assert_eq!(requests(&providers), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_too_long_for_a_target_passes_it_over_and_one_that_fits_is_counted() {
    let providers = three(|at| Script::completion(&format!("from {at}"))).await;
    let small = "[[targets]]\nname = 'small'\nprovider = 'p0'\nmodel = 'm'\nmax_context_tokens = 100\n";
    let large = "[[targets]]\nname = 'large'\nprovider = 'p1'\nmodel = 'm'\nmax_context_tokens = 100_000\n";
    // Whatever the long prompt is taken for.
    let rules: String = ["maths", "translation", "cooking", "code"]
        .map(|route| format!("sets.small.routes.{route}.targets = ['small', 'large']\n"))
        .concat();
    let server = start(&providers, &format!("{rules}{small}{large}")).await;
    let ask = async |repeated: usize| {
        let prompt = format!("{MATHS} And what is the probability of it? {}", "one and one. ".repeat(repeated));
        complete(&server, complete_request(&prompt)).await.unwrap().text
    };
    // Some 270 bytes are 80 tokens.
    assert_eq!(ask(15).await, "from 0");
    assert_eq!(ask(40).await, "from 1");
    assert_eq!(requests(&providers), [1, 1, 0]);

    let wide = pb::RouteRequest {
        needs: Some(pb::Needs { max_output_tokens: Some(99_990), ..pb::Needs::default() }),
        ..route_request(MATHS)
    };
    let plan = server.router().await.route(wide).await.unwrap().into_inner().plan.unwrap();
    let codes: Vec<&str> = plan.refused.iter().map(|refusal| refusal.reason_code.as_str()).collect();
    assert_eq!(codes, ["context", "context"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_llm_stage_does_not_see_what_may_not_leave() {
    let judge = Script::completion(&json!({"route": "cooking"}).to_string());
    let provider = Scripted::start([judge]).await;
    let unsure = || SetPolicy { min_score: 1.0, min_margin: 1.0, min_similarity: 1.0, ..SetPolicy::default() };
    let with = async |more: &str| {
        let llm = format!("{more}\n[llm]\nprovider = 'p0'\nmodel = 'judge'\nregion = 'region-9'\n");
        Setup { policy: unsure(), ..Setup::providers(&[provider.address()], &llm) }.start().await
    };
    let ask = async |server: &TestServer, prompt: &str, data_policy: Option<pb::DataPolicy>| {
        let request = pb::RouteRequest { data_policy, ..route_request(prompt) };
        let decision = server.router().await.route(request).await.unwrap().into_inner().decision.unwrap();
        (decision.llm(), decision.route)
    };
    let (verdict, refused) = (pb::LlmOutcome::Verdict, pb::LlmOutcome::NotPermitted);

    let server = with("").await;
    assert_eq!(ask(&server, MATHS, only_in(&["region-0"])).await, (refused, "maths".to_owned()));
    assert_eq!(provider.requests().len(), 0);
    assert_eq!(ask(&server, MATHS, only_in(&["region-0", "region-9"])).await, (verdict, "cooking".to_owned()));
    assert_eq!(provider.requests().len(), 1);
    // Nor is a verdict that is kept told to those who must not ask.
    assert_eq!(ask(&server, MATHS, only_in(&["region-0"])).await, (refused, "maths".to_owned()));

    // A route's own policy: the prompt may be one of its own.
    let server = with("sets.small.routes.maths.policy.allowed_regions = ['region-0']").await;
    assert_eq!(ask(&server, MATHS, None).await, (refused, "maths".to_owned()));
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_one_route_share_its_load_and_sessions_stay() {
    let providers = three(|at| Script::completion(&format!("from {at}"))).await;
    let server = start(&providers, "sets.small.routes.maths.order = 'weighted'\n").await;
    for _ in 0..6 {
        complete(&server, complete_request(MATHS)).await.unwrap();
    }
    assert_eq!(requests(&providers), [2, 2, 2]);
    let session = || pb::CompleteRequest { affinity_key: "session 1".to_owned(), ..complete_request(MATHS) };
    let place = complete(&server, session()).await.unwrap().text;
    for _ in 0..3 {
        assert_eq!(complete(&server, session()).await.unwrap().text, place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_is_configured_of_a_target() {
    let target = "currency = 'EUR'\n[[targets]]\nname = 't'\nprovider = 'demo'\nmodel = 'm'\nregion = 'eu'\n\
        certifications = ['x']\nretention = '1day'\ncapabilities = ['tools']\nmax_context_tokens = 8_192\n\
        prices = { input = 0.5, output = 2, cached_input = 0.1 }\n\
        [[targets]]\nname = 'bare'\nprovider = 'demo'\nmodel = 'm'\n";
    let server = Setup::toml(target).start().await;
    let targets = server.admin().await.list_targets(pb::ListTargetsRequest {}).await.unwrap().into_inner().targets;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected = pb::Target {
        name: "t".to_owned(),
        provider: "demo".to_owned(),
        model: "m".to_owned(),
        region: "eu".to_owned(),
        certifications: words(&["x"]),
        retention: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        capabilities: words(&["tools"]),
        max_context_tokens: Some(8_192),
        prices: Some(pb::TargetPrices {
            input: 0.5,
            output: 2.0,
            cached_input: Some(0.1),
            cache_write: None,
            currency: "EUR".to_owned(),
        }),
    };
    assert_eq!(targets[0], expected);
    assert_eq!(targets[1].capabilities, words(&["tools", "vision", "json-schema"]));
    assert_eq!((targets[1].retention, targets[1].prices.clone()), (None, None));
}
