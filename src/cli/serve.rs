//! `semroute serve`: everything from an empty folder to a listening server, and its orderly end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::building::BuildBar;
use super::key::has_ended;
use super::progress::{ModelProgress, note};
use super::{CommandError, Exit};
use crate::app::{App, import_new_sets, sets_in_files};
use crate::calendar::unix_now;
use crate::config::Config;
use crate::govern::AuthMode;
use crate::govern::keys::{StoredKey, Words};
use crate::grpc::BoundServer;
use crate::http::{BoundHttp, Standing};
use crate::publish::bring_up;
use crate::reference::TargetName;
use crate::shutdown::Signals;
use crate::telemetry::Export;

/// Of keys with words that nothing bears any more. Where a set is renamed there may be one for each customer.
const MAX_OUTDATED_LINES: usize = 20;

/// Start the router.
///
/// The first start gets the embedding model, takes the reference sets of the folder reference-prompts into the store,
/// embeds them and builds their index; later starts reuse all of it. Stops on Ctrl-C or SIGTERM, after the requests
/// under way are answered; a second signal stops it at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  semroute serve\n  semroute serve --listen 0.0.0.0:8443 --config /etc/semroute.toml"
)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub async fn run(args: ServeArgs, config: Config, export: Option<Export>) -> Result<Exit, CommandError> {
    let begun = Instant::now();
    let signals = Signals::listen().map_err(CommandError::Signals)?;
    // First the port: an address in use is better heard of before a minute of work.
    let server = BoundServer::bind(args.listen.unwrap_or(config.server.listen)).await?;
    let standing = Standing::default();
    let http = BoundHttp::bind(&config.http).await?;
    let probed_at = http.as_ref().map(BoundHttp::address);
    let (probes, probes_end) = (TaskTracker::new(), CancellationToken::new());
    // From here on probes are answered: a long first start must not look like a dead process.
    if let Some(http) = http {
        probes.spawn(http.run(standing.clone(), probes_end.clone()));
    }
    // It ends with the probes, last of all: there are spans until then.
    if let Some(export) = export {
        probes.spawn(export.run(probes_end.clone()));
    }
    // A signal during the long first start ends it as well.
    let app = tokio::select! {
        app = prepare(config) => app?,
        () = signals.first() => {
            note("stopped before the start was complete; the next start takes up from here");
            return Ok(Exit::Failure);
        }
    };
    tell_of_outdated_keys(&app).await;
    app.start_tasks();
    standing.serve(app.live.clone(), app.metrics.clone());
    greet(&app, server.address(), probed_at, begun);

    tokio::select! {
        ended = run_and_drain(&app, server, standing, &signals) => ended?,
        () = signals.second() => {
            note("stopped at once, at the second signal");
            return Ok(Exit::Failure);
        }
    }
    // Last of all: until then the probes tell of the draining.
    probes_end.cancel();
    probes.close();
    probes.wait().await;
    Ok(Exit::Success)
}

async fn run_and_drain(
    app: &App,
    server: BoundServer,
    standing: Standing,
    signals: &Signals,
) -> Result<(), CommandError> {
    let first = signals.first();
    let stop = async move {
        first.await;
        standing.drain();
        note("stopping ...");
    };
    server.run(app, stop).await?;
    app.stop.cancel();
    app.tasks.close();
    if tokio::time::timeout(app.config.server.drain_timeout, app.tasks.wait()).await.is_err() {
        tracing::warn!("a background task did not stop in time");
    }
    // After all who have something to record.
    app.audit.close().await;
    Ok(())
}

/// An app that serves every set of its store.
pub(super) async fn prepare(config: Config) -> Result<App, CommandError> {
    let app = App::start(config, &ModelProgress::shared()).await?;
    for set in import_new_sets(app.store.as_ref(), &app.config.reference_prompts_dir).await? {
        note(&format!("Took the reference set {set} from {}", app.config.reference_prompts_dir.display()));
    }
    let from_files = sets_in_files(&app.config.reference_prompts_dir)?;
    for set in app.store.list_sets().await? {
        let came_from_files = from_files.contains(&set.name);
        bring_up(&app.live, &app.builder, &set, came_from_files, &BuildBar::new(set.name.as_str())).await?;
    }
    if app.live.snapshots().all().is_empty() {
        note(
            "No reference set is published yet: make one with ReferenceService, or put files into the folder \
              reference-prompts and start again.",
        );
    }
    Ok(app)
}

/// Names in the configuration and in the sets that stand for nothing: a typing error routes nobody.
fn dangling_names(app: &App) -> Vec<String> {
    let config = &app.config;
    let mut names = Vec::new();
    for (set, routing) in &config.sets {
        let Some(snapshot) = app.live.snapshots().get(set.as_str()) else {
            names.push(format!("sets.{set} in the configuration is no set that is served"));
            continue;
        };
        let unknown = routing.routes.keys().filter(|route| snapshot.find_route(route.as_str()).is_none());
        names.extend(unknown.map(|route| format!("sets.{set}.routes.{route} in the configuration is no route")));
    }
    for snapshot in app.live.snapshots().all() {
        for route in &snapshot.routes {
            let known = |name: &TargetName| config.targets.iter().any(|target| target.name == *name);
            let unknown = route.targets.iter().filter(|name| !known(name));
            let told = |name| {
                format!("route {} of set {} names target {name}, which is not configured", route.name, snapshot.set)
            };
            names.extend(unknown.map(told));
        }
    }
    names
}

/// Keys with words that nothing bears any more: what they allow has become less, in silence. No reason not to serve.
async fn tell_of_outdated_keys(app: &App) {
    let outdated = match key_words(app).await {
        Ok((words, keys)) => outdated(&words, &keys, unix_now()),
        Err(error) => vec![format!("whether keys are outdated is not known: {error}")],
    };
    outdated.iter().for_each(|told| note(&format!("warning: {told}")));
}

async fn key_words(app: &App) -> Result<(Words, Vec<StoredKey>), CommandError> {
    let words = Words::read(&app.config.routing(), app.store.as_ref(), []).await?;
    Ok((words, app.keys.store().list_keys().await?))
}

/// A line for each word, at most [`MAX_OUTDATED_LINES`] and one that counts the others.
fn outdated(words: &Words, keys: &[StoredKey], now: i64) -> Vec<String> {
    let good = keys.iter().map(|stored| &stored.key).filter(|key| !has_ended(key, now));
    let mut lines: Vec<String> = good
        .flat_map(|key| {
            let unknown = words.unknown(&key.terms).into_iter();
            unknown.map(move |(field, what)| format!("key {} ({}): {field}: {what}", key.id, key.terms.name))
        })
        .collect();
    let more = lines.len().saturating_sub(MAX_OUTDATED_LINES);
    if more > 0 {
        lines.truncate(MAX_OUTDATED_LINES);
        lines.push(format!("{more} more of this kind: `semroute key list` says which keys are outdated"));
    }
    lines
}

fn greet(app: &App, address: SocketAddr, probed_at: Option<SocketAddr>, begun: Instant) {
    for snapshot in app.live.snapshots().all() {
        note(&format!(
            "Serving {} version {}: {} reference prompts, {} routes, {} index",
            snapshot.set,
            snapshot.version,
            snapshot.references.len(),
            snapshot.routes.len(),
            snapshot.index_report.kind.as_str(),
        ));
    }
    let unserved = unserved_default(app);
    if unserved.is_some() {
        note(&format!(
            "The default set {:?} is not among them: requests must name their set, or default_set be configured.",
            app.config.default_set,
        ));
    }
    dangling_names(app).iter().for_each(|name| note(&format!("warning: {name}")));
    let threads = app.embedding.threads;
    note(&format!("Embedding with {} on {threads} threads", app.embedding.files.manifest().name));
    if app.config.targets.is_empty() {
        note("No target is configured: Complete is answered by the built-in provider `demo`.");
    }
    if app.config.auth.mode == AuthMode::Off && !address.ip().is_loopback() {
        tracing::warn!(%address, "no keys are asked for: whoever reaches the port may do everything (auth.mode)");
    }
    match probed_at {
        Some(address) => note(&format!("Metrics and probes on http://{address}/metrics, /healthz and /readyz")),
        None => note("No metrics and no probes: http.listen is off, or its default port is taken"),
    }
    note(&format!("Listening on {address} (ready in {:.1} s)", begun.elapsed().as_secs_f64()));
    let (program, reached) = (program(), reached_at(address));
    if app.config.auth.mode == AuthMode::Required {
        note("Keys are asked for: make one with `semroute key create`, and set SEMROUTE_KEY to it");
    }
    let (scheme, plain) = if app.config.server.tls.is_some() { ("https://", "") } else { ("", "-plaintext ") };
    let (option, field) = match &unserved {
        Some(set) => (format!(" --set {set:?}"), format!(",\"reference_set\":{set:?}")),
        None => (String::new(), String::new()),
    };
    note(&format!(
        "\nTry, in another terminal:\n  {program} route --server {scheme}{reached}{option} \"Why does my loop never end?\"\n\
         or, with reflection, any gRPC client:\n  \
         grpcurl {plain}-d '{{\"input\":{{\"text\":\"Translate this into French\"}}{field}}}' {reached} \
         semroute.v1.RouterService/Route\n"
    ));
}

/// A set to name in requests, where those that name none would find nothing.
fn unserved_default(app: &App) -> Option<String> {
    let snapshots = app.live.snapshots();
    let other = snapshots.all().first().map(|snapshot| snapshot.set.as_str().to_owned())?;
    snapshots.get(&app.config.default_set).is_none().then_some(other)
}

/// This program as it was called: it need not be on the path.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "semroute".to_owned())
}

/// Where a client on this machine finds a server that listens on `address`, which may be "everywhere".
fn reached_at(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::keys::{KeyId, KeyTerms, SecretHash, VirtualKey};
    use crate::reference::SetName;
    use crate::routing::RoutingConfig;

    fn stored(name: &str, revoked_at: Option<i64>, expires_at: Option<i64>) -> StoredKey {
        let (id, hash) = (KeyId::new("0123456789abcdef").unwrap(), SecretHash::from_bytes([0; 32]));
        let sets = Some([SetName::new("gone").unwrap()].into());
        let terms = KeyTerms { name: name.to_owned(), sets, expires_at, ..KeyTerms::default() };
        StoredKey { key: VirtualKey { id, terms, created_at: 0, revoked_at, revision: 1 }, hash }
    }

    #[test]
    fn outdated_keys_that_still_work_are_told_of_in_a_bounded_list() {
        let words = Words::of(&RoutingConfig::default());
        let keys = [stored("ended", Some(5), None), stored("over", None, Some(10)), stored("good", None, Some(11))];
        let lines = outdated(&words, &keys, 10);
        assert!(lines.len() == 1 && lines[0].contains("(good): sets: "), "{lines:?}");
        let keys: Vec<StoredKey> = (0..23).map(|_| stored("good", None, None)).collect();
        let lines = outdated(&words, &keys, 10);
        assert_eq!(lines.len(), MAX_OUTDATED_LINES + 1);
        assert!(lines[MAX_OUTDATED_LINES].starts_with("3 more"), "{lines:?}");
    }
}
