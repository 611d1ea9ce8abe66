//! Keys: who may call, what with, how much, and until when.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use semroute::govern::keys::{KeyId, KeyTerms, Limits, Words, create, revoke};
use semroute::govern::{Keys, Role};
use semroute::grpc::pb;
use semroute::money::Money;
use semroute::reference::{RouteName, SetName};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::outcome::is_fault;
use crate::probe::get;
use crate::scripted::{Script, Scripted, Step};
use crate::server::{Setup, TestServer, complete_request, prompt_edit, route_request, set_name, until_ok};

const MATHS: &str = "what is 7 times 8?";

/// A token of input costs nothing and one of output a unit; at most 10 of them a request.
pub(crate) const PRICED: &str =
    "[auth]\nmode = 'required'\nassumed_output_tokens = 10\nassumed_prices = { input = 0, output = 1000000 }\n";

pub(crate) fn routing() -> KeyTerms {
    KeyTerms { name: "k".to_owned(), may_route: true, ..KeyTerms::default() }
}

fn with_role(role: Role) -> KeyTerms {
    KeyTerms { role: Some(role), may_route: false, ..routing() }
}

/// A key that the server knows.
pub(crate) async fn key(server: &TestServer, terms: KeyTerms) -> (pb::Key, String) {
    let keys: &Keys = &server.app.keys;
    let words = Words::read(&server.app.config.routing(), server.app.store.as_ref(), []).await.unwrap();
    let (key, secret) = create(keys.store().as_ref(), &words, terms, 1).await.unwrap();
    keys.refresh().await.unwrap();
    (pb::Key { id: key.id.to_string(), ..pb::Key::default() }, secret.reveal().to_owned())
}

#[derive(Clone)]
pub(crate) struct Sending(String);

impl tonic::service::Interceptor for Sending {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.0).parse().unwrap());
        Ok(request)
    }
}

pub(crate) type Channelled = InterceptedService<Channel, Sending>;

pub(crate) async fn router(
    server: &TestServer,
    key: &str,
) -> pb::router_service_client::RouterServiceClient<Channelled> {
    let sending = Sending(key.to_owned());
    pb::router_service_client::RouterServiceClient::with_interceptor(server.channel().await, sending)
}

async fn admin(server: &TestServer, key: &str) -> pb::key_service_client::KeyServiceClient<Channelled> {
    pb::key_service_client::KeyServiceClient::with_interceptor(server.channel().await, Sending(key.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_needs_a_key_that_may_make_it() {
    let server = Setup::toml("auth.mode = 'required'").start().await;
    let (_, sender) = key(&server, routing()).await;
    let (_, reader) = key(&server, with_role(Role::ReadOnly)).await;
    let (_, operator) = key(&server, with_role(Role::Admin)).await;
    let bare = server.router().await.route(route_request(MATHS)).await.unwrap_err();
    is_fault(&bare, Code::Unauthenticated, "MISSING_KEY");
    let unknown = sender.replacen("srk_", "srk_0", 1).replacen("srk_0", "srk_", 1);
    router(&server, &unknown).await.route(route_request(MATHS)).await.unwrap();
    let other = format!("{}{}", &sender[..sender.len() - 1], if sender.ends_with('0') { '1' } else { '0' });
    for (wrong, reason) in [(other.as_str(), "UNKNOWN_KEY"), ("sk-abc", "MALFORMED_KEY")] {
        let refused = router(&server, wrong).await.route(route_request(MATHS)).await.unwrap_err();
        is_fault(&refused, Code::Unauthenticated, reason);
        assert!(!refused.message().contains(wrong), "{}", refused.message());
    }
    let refused = router(&server, &reader).await.route(route_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::PermissionDenied, "MAY_NOT_ROUTE");
    let refused = admin(&server, &reader).await.list_keys(pb::ListKeysRequest {}).await.unwrap_err();
    is_fault(&refused, Code::PermissionDenied, "ROLE_TOO_LOW");
    assert!(refused.message().contains("admin"), "{}", refused.message());
    assert_eq!(
        admin(&server, &operator).await.list_keys(pb::ListKeysRequest {}).await.unwrap().into_inner().keys.len(),
        3
    );
    // Health needs none.
    let mut health = tonic_health::pb::health_client::HealthClient::new(server.channel().await);
    health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    let page = get(server.http, "/metrics").await.body;
    for line in [
        "semroute_auth_refused_total{reason=\"missing\"} 1",
        "semroute_auth_refused_total{reason=\"unknown\"} 1",
        "semroute_auth_refused_total{reason=\"malformed\"} 1",
        "semroute_auth_refused_total{reason=\"forbidden\"} 2",
    ] {
        assert!(page.contains(line), "{line}");
    }
    assert!(!page.contains("srk_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_changed_and_ended_by_an_admin() {
    let server = Setup::toml("auth.mode = 'required'").start().await;
    let (own, operator) = key(&server, with_role(Role::Admin)).await;
    let mut keys = admin(&server, &operator).await;
    let terms = pb::KeyTerms {
        name: "team".to_owned(),
        may_route: true,
        sets: vec!["small".to_owned()],
        limits: Some(pb::KeyLimits {
            requests_per_minute: Some(1),
            money_per_day: Some(pb::Money { micros: 2_500_000, currency: String::new() }),
            ..pb::KeyLimits::default()
        }),
        ..pb::KeyTerms::default()
    };
    let made = keys.create_key(pb::CreateKeyRequest { terms: Some(terms.clone()) }).await.unwrap().into_inner();
    let key = made.key.unwrap();
    assert_eq!(key.terms.as_ref(), Some(&terms));
    assert!(made.secret.starts_with(&format!("srk_{}_", key.id)));
    let mut team = router(&server, &made.secret).await;
    let answer = team.route(route_request(MATHS)).await.unwrap();
    assert_eq!(answer.metadata().get("x-semroute-remaining-requests").unwrap(), "0");
    assert_eq!(answer.metadata().get("x-semroute-remaining-money-day").unwrap(), "2.5");
    let refused = team.route(route_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::ResourceExhausted, "KEY_REQUESTS");
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(61), "{wait:?}");
    let mask =
        |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let update = |paths: &[&str], terms: pb::KeyTerms| pb::UpdateKeyRequest {
        id: key.id.clone(),
        terms: Some(terms),
        mask: mask(paths),
    };
    for wrong in [&[][..], &["secret"]] {
        let status = keys.update_key(update(wrong, terms.clone())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let nameless = keys.update_key(update(&["*"], pb::KeyTerms::default())).await.unwrap_err();
    assert!(
        nameless.message().contains("terms.name") && nameless.message().contains("terms.may_route"),
        "{nameless:?}"
    );
    let changed = keys.update_key(update(&["limits"], pb::KeyTerms::default())).await.unwrap().into_inner();
    assert_eq!((changed.revision, changed.terms.unwrap().sets), (2, vec!["small".to_owned()]));
    team.route(route_request(MATHS)).await.unwrap();
    let rotated = keys.rotate_key(pb::RotateKeyRequest { id: key.id.clone() }).await.unwrap().into_inner();
    is_fault(&team.route(route_request(MATHS)).await.unwrap_err(), Code::Unauthenticated, "UNKNOWN_KEY");
    let mut team = router(&server, &rotated.secret).await;
    team.route(route_request(MATHS)).await.unwrap();
    keys.revoke_key(pb::RevokeKeyRequest { id: key.id.clone() }).await.unwrap();
    is_fault(&team.route(route_request(MATHS)).await.unwrap_err(), Code::Unauthenticated, "REVOKED_KEY");
    let listed = keys.list_keys(pb::ListKeysRequest {}).await.unwrap().into_inner().keys;
    assert_eq!(
        listed.iter().map(|key| (&key.id, key.revoked_at.is_some())).collect::<Vec<_>>(),
        [(&own.id, false), (&key.id, true)]
    );
    let unknown = keys.get_key(pb::GetKeyRequest { id: "0123456789abcdef".to_owned() }).await.unwrap_err();
    is_fault(&unknown, Code::NotFound, "NO_SUCH_KEY");
    assert_eq!(keys.get_key(pb::GetKeyRequest { id: "x".to_owned() }).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_to_its_sets_and_routes() {
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "auth.mode = 'required'\n[sets.other]").start().await;
    let other = Some([SetName::new("other").unwrap()].into());
    let (_, elsewhere) = key(&server, KeyTerms { sets: other, ..routing() }).await;
    let cooking = Some([RouteName::new("cooking").unwrap()].into());
    let (_, cook) = key(&server, KeyTerms { sets: Some([set_name()].into()), routes: cooking, ..routing() }).await;
    let refused = router(&server, &elsewhere).await.route(route_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::PermissionDenied, "SET_NOT_ALLOWED");
    let mut cook = router(&server, &cook).await;
    let plan = cook.route(route_request(MATHS)).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.targets.len(), plan.refused.len()), (0, 1));
    assert!(plan.refused[0].reason.contains("key"), "{plan:?}");
    let refused = cook.complete(complete_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::PermissionDenied, "ROUTE_NOT_ALLOWED");
    let refused = cook.complete_stream(complete_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::PermissionDenied, "ROUTE_NOT_ALLOWED");
    assert!(provider.requests().is_empty());
    cook.complete(complete_request("recipe for onion soup")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_does_not_overspend() {
    // Each request may cost 10, and costs 2.
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], PRICED).start().await;
    let limits = Limits { money_per_day: Some(Money::from_units(60.0)), ..Limits::default() };
    let (_, key) = key(&server, KeyTerms { limits, ..routing() }).await;
    let client = router(&server, &key).await;
    let mut answered = 0;
    // What the first of a burst turn out not to cost is there for the next burst.
    loop {
        let before = answered;
        let calls = (0..200).map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.complete(complete_request(MATHS)).await })
        });
        for call in join_all(calls).await {
            match call.unwrap() {
                Ok(_) => answered += 1,
                Err(status) => is_fault(&status, Code::ResourceExhausted, "KEY_MONEY"),
            }
        }
        if answered == before {
            break;
        }
    }
    assert!(answered * 2 <= 60 && answered * 2 > 60 - 10, "{answered}");
    assert_eq!(provider.requests().len(), answered);
    let left = client.clone().route(route_request(MATHS)).await.unwrap();
    let left: usize = left.metadata().get("x-semroute-remaining-money-day").unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(left, 60 - 2 * answered);
    // The next server knows.
    let folder = server.stopped().await;
    let server = TestServer::start(Setup::providers(&[provider.address()], PRICED), folder).await;
    let answer = router(&server, &key).await.route(route_request(MATHS)).await.unwrap();
    assert_eq!(answer.metadata().get("x-semroute-remaining-money-day").unwrap(), left.to_string().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key() {
    let provider = Scripted::start([Script::events([Step::delta("so"), Step::Hang])]).await;
    let server = Setup::providers(&[provider.address()], PRICED).start().await;
    let limits = Limits { money_per_day: Some(Money::from_units(60.0)), max_concurrent: Some(1), ..Limits::default() };
    let (made, secret) = key(&server, KeyTerms { limits, ..routing() }).await;
    let answer = router(&server, &secret).await.complete_stream(complete_request(MATHS)).await.unwrap();
    assert_eq!(answer.metadata().get("x-semroute-remaining-money-day").unwrap(), "50", "10 are reserved");
    let mut stream = answer.into_inner();
    for _ in 0..2 {
        stream.message().await.unwrap().unwrap();
    }
    let refused = router(&server, &secret).await.route(route_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::ResourceExhausted, "KEY_CONCURRENCY");
    // By another process, as it were: the server follows.
    let id = KeyId::new(&made.id).unwrap();
    let store = server.app.keys.store();
    revoke(store.as_ref(), &id, 2).await.unwrap();
    let begun = Instant::now();
    let status = stream.message().await.unwrap_err();
    is_fault(&status, Code::Unauthenticated, "REVOKED_KEY");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // What was delivered may have to be paid: it is estimated, and written down.
    until_ok(async || {
        let today = server.app.keys.ledger().today();
        let spent = store.journal_spend(&[], std::slice::from_ref(&id), today).await.unwrap()[0].of_day;
        if spent == Money::from_units(1.0) { Ok(()) } else { Err(Status::unavailable(spent.to_string())) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_stream_tells_what_is_left_in_its_trailers() {
    let provider = Scripted::start([Script::stream(&["56"])]).await;
    let server = Setup::providers(&[provider.address()], PRICED).start().await;
    let limits = Limits { money_per_day: Some(Money::from_units(60.0)), ..Limits::default() };
    let (_, secret) = key(&server, KeyTerms { limits, ..routing() }).await;
    let answer = router(&server, &secret).await.complete_stream(complete_request(MATHS)).await.unwrap();
    assert_eq!(answer.metadata().get("x-semroute-remaining-money-day").unwrap(), "50");
    let mut stream = answer.into_inner();
    let mut events = 0;
    while stream.message().await.unwrap().is_some() {
        events += 1;
    }
    assert_eq!(events, 3, "the decision, the text and who served");
    let trailers = stream.trailers().await.unwrap().unwrap();
    assert_eq!(trailers.get("x-semroute-remaining-money-day").unwrap(), "58", "it cost 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_wants_prices_and_a_request_within_it() {
    let provider = Scripted::start([Script::completion("56")]).await;
    let server = Setup::providers(&[provider.address()], "auth.mode = 'required'").start().await;
    let limits = Limits { money_per_month: Some(Money::from_units(5.0)), ..Limits::default() };
    let (_, budgeted) = key(&server, KeyTerms { limits, ..routing() }).await;
    let refused = router(&server, &budgeted).await.complete(complete_request(MATHS)).await.unwrap_err();
    is_fault(&refused, Code::FailedPrecondition, "UNPRICED_TARGET");
    let folder = server.stopped().await;
    let server = TestServer::start(Setup::providers(&[provider.address()], PRICED), folder).await;
    let mut client = router(&server, &budgeted).await;
    is_fault(&client.complete(complete_request(MATHS)).await.unwrap_err(), Code::FailedPrecondition, "KEY_MONEY");
    assert!(provider.requests().is_empty());
    let short = pb::CompleteRequest { max_output_tokens: Some(4), ..complete_request(MATHS) };
    client.complete(short).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_what_is_configured_and_fails_closed_when_it_is_no_more() {
    let (first, second) =
        (Scripted::start([Script::completion("56")]).await, Scripted::start([Script::completion("57")]).await);
    let setup = |addresses: &[std::net::SocketAddr]| Setup::providers(addresses, "auth.mode = 'required'");
    let server = setup(&[first.address(), second.address()]).start().await;
    let (_, operator) = key(&server, with_role(Role::Admin)).await;
    let mut keys = admin(&server, &operator).await;
    let terms = |policy: pb::KeyPolicy| pb::KeyTerms {
        name: "team".to_owned(),
        may_route: true,
        policy: Some(policy),
        ..pb::KeyTerms::default()
    };
    let denying = |provider: &str| {
        terms(pb::KeyPolicy { denied_providers: vec![provider.to_owned()], ..pb::KeyPolicy::default() })
    };
    let strange = pb::KeyTerms {
        sets: vec!["smal".to_owned()],
        routes: vec!["cookery".to_owned()],
        ..terms(pb::KeyPolicy { allowed_regions: vec!["region-9".to_owned()], ..pb::KeyPolicy::default() })
    };
    let refused = keys.create_key(pb::CreateKeyRequest { terms: Some(strange) }).await.unwrap_err();
    is_fault(&refused, Code::InvalidArgument, "INVALID_FIELD");
    for told in ["terms.sets: \"smal\"", "terms.routes: \"cookery\"", "terms.policy.allowed_regions: \"region-9\""] {
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    let made = keys.create_key(pb::CreateKeyRequest { terms: Some(denying("p1")) }).await.unwrap().into_inner();
    assert!(made.key.unwrap().unknown.is_empty());
    router(&server, &made.secret).await.complete(complete_request(MATHS)).await.unwrap();
    // The provider goes by another name from now on; what was denied must not be reached by it.
    let folder = server.stopped().await;
    let server = TestServer::start(setup(&[first.address()]), folder).await;
    let mut team = router(&server, &made.secret).await;
    for refused in
        [team.complete(complete_request(MATHS)).await.unwrap_err(), team.route(route_request(MATHS)).await.unwrap_err()]
    {
        is_fault(&refused, Code::FailedPrecondition, "KEY_OUTDATED");
        assert!(refused.message().contains("p1"), "{}", refused.message());
    }
    let listed = admin(&server, &operator).await.list_keys(pb::ListKeysRequest {}).await.unwrap().into_inner().keys;
    assert!(listed[1].unknown[0].contains("policy.denied_providers: \"p1\" is no known provider"), "{listed:?}");
    assert_eq!(first.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_ends_with_its_key() {
    let server = Setup::toml("auth.mode = 'required'").start().await;
    let (made, reader) = key(&server, with_role(Role::ReadOnly)).await;
    // More than the windows of a connection hold.
    let text = |at: usize| format!("{at} {}", "what is 7 times 8? ".repeat(400));
    let prompts: Vec<_> = (0..2_000).map(|at| prompt_edit("maths", &text(at))).collect();
    server.app.store.upsert_prompts(&set_name(), &prompts).await.unwrap();
    let mut references =
        pb::reference_service_client::ReferenceServiceClient::with_interceptor(server.channel().await, Sending(reader));
    let request = pb::ExportRequest { set: set_name().to_string() };
    let mut prompts = references.export(request).await.unwrap().into_inner();
    prompts.message().await.unwrap().unwrap();
    revoke(server.app.keys.store().as_ref(), &KeyId::new(&made.id).unwrap(), 2).await.unwrap();
    server.app.keys.refresh().await.unwrap();
    let ended = loop {
        match prompts.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("all of it came"),
            Err(status) => break status,
        }
    };
    is_fault(&ended, Code::Unauthenticated, "REVOKED_KEY");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_told_whatever_can_be_read_after_it_was_made() {
    let server = Setup::toml("auth.mode = 'required'").start().await;
    let (_, operator) = key(&server, with_role(Role::Admin)).await;
    let (made, _) = key(&server, routing()).await;
    let mut keys = admin(&server, &operator).await;
    crate::damage::execute(&server.app.config.store_path(), "UPDATE sets SET policy = 'damaged'").await;
    is_fault(&keys.list_keys(pb::ListKeysRequest {}).await.unwrap_err(), Code::DataLoss, "STORE_DAMAGED");
    let rotated = keys.rotate_key(pb::RotateKeyRequest { id: made.id.clone() }).await.unwrap().into_inner();
    let told = rotated.key.unwrap();
    assert_eq!((&told.id, told.revision, told.spent_today), (&made.id, 2, None));
    router(&server, &rotated.secret).await.route(route_request(MATHS)).await.unwrap();
    let revoked = keys.revoke_key(pb::RevokeKeyRequest { id: made.id }).await.unwrap().into_inner();
    assert!(revoked.revoked_at.is_some());
}
