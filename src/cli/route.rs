//! `semroute route`: one decision, from a running server or from the store at hand.

use std::error::Error;
use std::io::Read;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use super::building::BuildBar;
use super::policy_args::PolicyArgs;
use super::progress::{ModelProgress, note};
use super::tls::{TlsArgs, url};
use super::{CommandError, Exit, print};
use crate::app::App;
use crate::config::{self, Config};
use crate::govern::audit::Policy;
use crate::grpc::local::LocalRouter;
use crate::grpc::pb;
use crate::provider::DEMO;
use crate::reference::{SetName, StoreError};

/// How long to look for a running server.
const CONNECT: Duration = Duration::from_millis(300);

/// How long to wait for an answer in silence.
const SILENCE: Duration = Duration::from_secs(2);

/// Decide which route a text belongs to, and show the evidence.
///
/// Asks the server that listens on the configured address, if there is one; otherwise decides in this process, from
/// the same store. A server that asks for keys is sent the one in the environment variable SEMROUTE_KEY.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute route \"Why does my loop never end?\"\n  \
    git diff | semroute route --json -\n  semroute route --set support --neighbours 10 \"Where is my parcel?\"\n  \
    semroute route --region eu --require gdpr-processor \"Where is my parcel?\"")]
pub struct RouteArgs {
    /// The text; `-` reads it from standard input.
    text: String,
    /// Reference set [default: the configured one].
    #[arg(long)]
    set: Option<String>,
    /// Ask this server, for example 127.0.0.1:50051 or https://router.example:50051.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "local")]
    server: Option<String>,
    /// Decide in this process even if a server runs.
    #[arg(long)]
    local: bool,
    /// Neighbours to show.
    #[arg(long, default_value_t = 5, value_name = "N")]
    neighbours: u32,
    /// Do not ask the LLM stage.
    #[arg(long)]
    no_llm: bool,
    /// Accuracy wanted of what is decided without the LLM stage, 0 to 1 [default: as the set's policy says].
    #[arg(long, value_name = "SHARE")]
    target_accuracy: Option<f32>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

pub async fn run(args: RouteArgs, config: Config) -> Result<Exit, CommandError> {
    let request = pb::RouteRequest {
        input: Some(pb::Input { input: Some(pb::input::Input::Text(read_text(&args.text)?)) }),
        reference_set: args.set.clone().unwrap_or_default(),
        options: Some(pb::RouteOptions {
            max_neighbours: Some(args.neighbours),
            explain: true,
            allow_llm: Some(!args.no_llm),
            target_accuracy: args.target_accuracy,
        }),
        data_policy: args.policy.policy(),
        needs: args.policy.needs(),
    };
    let response = match server(&args, &config).await? {
        Some(server) => server.ask(request).await?,
        None => {
            let router = LocalRouter::new(&load(&args, config).await?)?;
            router.route(request).await.map_err(|status| CommandError::Answer(Box::new(status)))?
        }
    };
    print(&if args.json { as_json(&response).to_string() } else { as_text(&response) })?;
    Ok(Exit::Success)
}

/// The live version of the set, as a server would serve it.
async fn load(args: &RouteArgs, mut config: Config) -> Result<App, CommandError> {
    // A question on the command line is no request; and a server may be writing to the log.
    config.audit.policy = Policy::Off;
    let set = SetName::new(args.set.as_deref().unwrap_or(&config.default_set))?;
    let app = App::start(config, &ModelProgress::shared()).await?;
    let published = match app.store.get_set(&set).await {
        Ok(present) => present.published,
        Err(StoreError::UnknownSet { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let version = published.ok_or_else(|| CommandError::NotPublished(set.clone()))?;
    app.live.serve(app.builder.load(&set, version, &BuildBar::new(set.as_str())).await?);
    Ok(app)
}

fn read_text(text: &str) -> Result<String, CommandError> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    std::io::stdin().lock().read_to_string(&mut read).map_err(CommandError::Input)?;
    Ok(read)
}

/// A server that a connection stands to.
struct Server {
    url: String,
    channel: Channel,
}

impl Server {
    async fn ask(self, request: pb::RouteRequest) -> Result<pb::RouteResponse, CommandError> {
        let Self { url, channel } = self;
        let mut client = pb::router_service_client::RouterServiceClient::new(channel);
        let mut answer = pin!(client.route(with_key(request)?));
        // The port of a server is open before it can answer: its first start takes a while.
        let answered = match tokio::time::timeout(SILENCE, answer.as_mut()).await {
            Ok(answered) => answered,
            Err(_) => {
                note(&format!("The server at {url} has not answered yet; it may still be starting. Waiting ..."));
                answer.await
            }
        };
        answered.map(tonic::Response::into_inner).map_err(|status| match status.source() {
            Some(_) => CommandError::Lost { url },
            None => CommandError::Answer(Box::new(status)),
        })
    }
}

/// With the key of the environment, if there is one.
fn with_key(request: pb::RouteRequest) -> Result<tonic::Request<pb::RouteRequest>, CommandError> {
    let mut request = tonic::Request::new(request);
    if let Some(key) = config::caller_key() {
        let mut value: MetadataValue<_> = format!("Bearer {key}").parse().map_err(|_| CommandError::CallerKey)?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

/// The named server, or one on the configured address; `None`: decide here.
async fn server(args: &RouteArgs, config: &Config) -> Result<Option<Server>, CommandError> {
    if args.local {
        return Ok(None);
    }
    let url = url(args.server.as_deref(), config);
    if args.server.is_some() {
        let failed = |source| CommandError::Server { url: url.clone(), source };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(failed)?.connect_timeout(Duration::from_secs(5));
        let endpoint = args.tls.apply(endpoint)?;
        let channel = endpoint.connect().await.map_err(failed)?;
        return Ok(Some(Server { url, channel }));
    }
    let Ok(endpoint) = Endpoint::from_shared(url.clone()) else { return Ok(None) };
    let endpoint = args.tls.apply(endpoint)?;
    match endpoint.connect_timeout(CONNECT).connect().await {
        Ok(channel) => Ok(Some(Server { url, channel })),
        Err(_) => {
            note(&format!("No server answers at {}: deciding in this process.", config.server.listen));
            Ok(None)
        }
    }
}

fn as_text(response: &pb::RouteResponse) -> String {
    let Some(decision) = &response.decision else { return "no decision".to_owned() };
    let route = if decision.route.is_empty() { "(no route)" } else { &decision.route };
    let versions = decision.versions.clone().unwrap_or_default();
    let timings = decision.timings.unwrap_or_default();
    let mut text = format!(
        "{route}\n\n  {}   stage {}\n  because {}\n  set {} version {}   model {}\n  \
         read {:.0} % of the text ({} tokens{})\n  time {}\n",
        sureness(decision),
        stage_name(decision.stage()),
        decision.reason,
        versions.reference_set,
        versions.set_version,
        versions.model,
        decision.input_seen * 100.0,
        decision.input_tokens,
        slips(decision.mended_words),
        times(decision.cached, &timings),
    );
    let targets: Vec<String> = response.plan.iter().flat_map(|plan| &plan.targets).map(target_name).collect();
    if targets.is_empty() && response.plan.is_some() {
        text.push_str("  would be sent nowhere\n");
    } else if !targets.is_empty() {
        text.push_str(&format!("  would be sent to {}\n", targets.join(", then ")));
    }
    for refusal in response.plan.iter().flat_map(|plan| &plan.refused) {
        text.push_str(&format!("  not to {}: {}\n", refusal.target, refusal.reason));
    }
    text.push_str(&format!("\n{}\n", scores_table(decision)));
    text.push_str(&format!("\n{}", neighbours_table(decision)));
    text
}

fn slips(words: u32) -> String {
    match words {
        0 => String::new(),
        1 => ", 1 typing error mended".to_owned(),
        _ => format!(", {words} typing errors mended"),
    }
}

/// Confidence where there is one, else the vote.
fn sureness(decision: &pb::Decision) -> String {
    match (decision.confidence, decision.in_scope) {
        (Some(confidence), Some(in_scope)) => format!("confidence {confidence:.3}   in scope {in_scope:.3}"),
        _ => format!("score {:.3}   margin {:.3}", decision.score, decision.margin),
    }
}

/// Whole time, then that of the steps that were taken.
fn times(cached: bool, timings: &pb::Timings) -> String {
    let steps =
        [("queue", timings.queue), ("embedding", timings.embed), ("search", timings.search), ("LLM", timings.llm)];
    let taken = steps.into_iter().filter_map(|(name, time)| Some(format!("{name} {}", millis(Some(time?)))));
    let steps: Vec<String> = cached.then(|| "from the cache".to_owned()).into_iter().chain(taken).collect();
    format!("{} ({})", millis(timings.total), steps.join(", "))
}

fn target_name(target: &pb::Target) -> String {
    if target.name == DEMO && target.provider == DEMO {
        return "demo (built in; asks no model)".to_owned();
    }
    format!("{} (provider {}, model {})", target.name, target.provider, target.model)
}

fn scores_table(decision: &pb::Decision) -> Table {
    let mut table = plain_table(&["ROUTE", "PROBABILITY", "VOTE", "SIMILARITY"]);
    let known = |value: Option<f32>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    for score in decision.alternatives.iter().take(5) {
        let similarity = (score.score > 0.0).then_some(score.similarity);
        table.add_row([
            score.route.clone(),
            known(score.probability),
            format!("{:.3}", score.score),
            known(similarity),
        ]);
    }
    right_align(&mut table, &[1, 2, 3]);
    table
}

fn neighbours_table(decision: &pb::Decision) -> Table {
    let mut table = plain_table(&["SIMILARITY", "ROUTE", "REFERENCE PROMPT"]);
    for neighbour in &decision.neighbours {
        let text: String = neighbour.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = text.chars().take(80).collect();
        table.add_row([format!("{:.3}", neighbour.similarity), neighbour.route.clone(), short]);
    }
    right_align(&mut table, &[0]);
    table
}

fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn right_align(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The answer's fields under their names in the API; durations in milliseconds.
fn as_json(response: &pb::RouteResponse) -> Value {
    let decision = response.decision.clone().unwrap_or_default();
    let versions = decision.versions.clone().unwrap_or_default();
    let timings = decision.timings.unwrap_or_default();
    let plan = response.plan.as_ref().map(|plan| {
        json!({
            "targets": plan.targets.iter().map(|target| json!({
                "name": target.name, "provider": target.provider, "model": target.model, "region": target.region,
            })).collect::<Vec<_>>(),
            "refused": plan.refused.iter().map(|refusal| json!({
                "target": refusal.target, "reason": refusal.reason, "reason_code": refusal.reason_code,
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "decision_id": decision.decision_id,
        "route": (!decision.route.is_empty()).then_some(&decision.route),
        "confidence": decision.confidence,
        "in_scope": decision.in_scope,
        "threshold": decision.threshold,
        "without_llm": decision.without_llm.as_ref().map(|answer| json!({
            "route": (!answer.route.is_empty()).then_some(&answer.route), "stage": stage_name(answer.stage()),
        })),
        "score": decision.score,
        "margin": decision.margin,
        "stage": stage_name(decision.stage()),
        "llm": llm_name(decision.llm()),
        "reason": decision.reason,
        "doubts": decision.doubts.iter().map(|doubt| json!({
            "measure": doubt.measure, "value": doubt.value, "bound": doubt.bound,
        })).collect::<Vec<_>>(),
        "alternatives": decision.alternatives.iter().map(|score| json!({
            "route": score.route, "probability": score.probability, "score": score.score,
            "similarity": score.similarity,
        })).collect::<Vec<_>>(),
        "neighbours": decision.neighbours.iter().map(|neighbour| json!({
            "id": neighbour.id, "route": neighbour.route, "similarity": neighbour.similarity, "text": neighbour.text,
        })).collect::<Vec<_>>(),
        "versions": {
            "reference_set": versions.reference_set, "set_version": versions.set_version, "model": versions.model,
        },
        "cached": decision.cached,
        "input_seen": decision.input_seen,
        "input_tokens": decision.input_tokens,
        "mended_words": decision.mended_words,
        "timings_ms": {
            "queue": as_millis(timings.queue), "embed": as_millis(timings.embed),
            "search": as_millis(timings.search), "llm": as_millis(timings.llm), "total": as_millis(timings.total),
        },
        "plan": plan,
    })
}

fn stage_name(stage: pb::Stage) -> String {
    stage.as_str_name().trim_start_matches("STAGE_").to_lowercase()
}

fn llm_name(outcome: pb::LlmOutcome) -> String {
    outcome.as_str_name().trim_start_matches("LLM_OUTCOME_").to_lowercase()
}

fn as_millis(span: Option<prost_types::Duration>) -> Option<f64> {
    span.map(|span| span.seconds as f64 * 1e3 + f64::from(span.nanos) / 1e6)
}

fn millis(span: Option<prost_types::Duration>) -> String {
    format!("{:.2} ms", as_millis(span).unwrap_or(0.0))
}
