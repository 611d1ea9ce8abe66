//! What can be asked for. Requests have no body, and what they send of one is not read.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::standing::Standing;
use crate::metrics;
use crate::telemetry::chain;

pub(super) fn router(standing: Standing) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(standing)
}

/// The process lives and its runtime turns.
async fn health() -> &'static str {
    "ok\n"
}

async fn readiness(State(standing): State<Standing>) -> Response {
    let readiness = standing.readiness();
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": ready, "reasons": readiness.reasons });
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn show_metrics(State(standing): State<Standing>) -> Response {
    let Some(metrics) = standing.metrics() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the service is starting\n").into_response();
    };
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = %chain(&error), "the metrics cannot be shown");
            (StatusCode::INTERNAL_SERVER_ERROR, "the server's log has the cause\n").into_response()
        }
    }
}
