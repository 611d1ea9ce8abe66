//! An attempt as a step of a trace. The call itself is a step below it, which the provider makes; it may outlast this
//! one's future: of a stream the attempt ends with its last item.

use std::future::Future;

use tracing::{Instrument, Span};

use crate::provider;
use crate::routing::Target;
use crate::telemetry::{failed, step};

/// Around one call to `target`.
pub(super) fn attempt_span(target: &Target) -> Span {
    step!(
        "attempt",
        semroute.target = target.name.as_str(),
        semroute.provider = target.provider,
        semroute.region = target.region,
        gen_ai.request.model = target.model,
    )
}

/// Takes an attempt as a step: `call` is the whole of it or, of a stream, what comes before the first item.
pub(super) async fn attempted<T>(
    target: &Target,
    call: impl Future<Output = Result<T, provider::Error>>,
) -> Result<T, provider::Error> {
    let span = attempt_span(target);
    let result = call.instrument(span.clone()).await;
    if let Err(error) = &result {
        failed(&span, error.kind());
    }
    result
}
