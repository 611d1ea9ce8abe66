//! What reads well but cannot be right: bounds, and names that stand for nothing.

use std::time::Duration;

use super::{Config, Fault};
use crate::provider::{DEMO, Kind, Providers};

impl Config {
    /// Everything that reads well but cannot be right.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |path: String, what: String| faults.push(Fault { path, what });
        if let Err(error) = self.default_set() {
            add("default_set".to_owned(), error.to_string());
        }
        let bounds = [
            ("server.max_prompt_bytes", self.server.max_prompt_bytes, 1, 16 << 20),
            ("server.max_message_bytes", self.server.max_message_bytes, 64 << 10, 64 << 20),
            ("server.max_concurrent_requests", self.server.max_concurrent_requests, 1, 1_000_000),
            ("embedding.workers", self.embedding.workers, 0, 256),
            ("embedding.niceness", usize::from(self.embedding.niceness), 0, 19),
            ("embedding.queue_capacity", self.embedding.queue_capacity, 1, 1_000_000),
            ("embedding.batch_tokens", self.embedding.batch_tokens, 0, 1_000_000),
            ("embedding.batch_prompts", self.embedding.batch_prompts, 1, 1_024),
        ];
        for (path, value, least, most) in bounds {
            if value < least || value > most {
                add(path.to_owned(), format!("is {value}, must be from {least} to {most}"));
            }
        }
        let spans = [
            ("server.default_timeout", self.server.default_timeout, 1, 86_400),
            ("server.drain_timeout", self.server.drain_timeout, 0, 3_600),
        ];
        for (path, value, least, most) in spans {
            if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
                add(path.to_owned(), format!("is {} s, must be from {least} to {most} s", value.as_secs_f64()));
            }
        }
        let max_wait = self.embedding.max_wait;
        if max_wait.is_zero() || max_wait > Duration::from_secs(3_600) {
            let found = humantime_serde::re::humantime::format_duration(max_wait);
            add("embedding.max_wait".to_owned(), format!("is {found}, must be more than 0 and at most 1 h"));
        }
        if self.log.level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            add("log.level".to_owned(), format!("{:?} is neither a level nor directives", self.log.level));
        }
        let mut below = |path: &str, found: Vec<(String, String)>| {
            for (field, what) in found {
                add(format!("{path}.{field}"), what);
            }
        };
        if let Some(tls) = &self.server.tls {
            below("server.tls", tls.faults());
        }
        below("auth", self.auth.faults());
        below("index", self.index.faults());
        below("cache", self.cache.faults());
        below("dispatch", self.dispatch.faults());
        below("audit", self.audit.faults());
        below("telemetry", self.telemetry.faults());
        if let Some(llm) = &self.llm {
            below("llm", llm.faults());
        }
        if let Some(feedback) = &self.feedback {
            below("feedback", feedback.faults());
        }
        for (path, what) in Providers::faults(&self.providers) {
            add(format!("providers{path}"), what);
        }
        for (path, what) in self.routing().faults() {
            add(path, what);
        }
        faults.extend(self.dangling_names());
        faults
    }

    fn has_provider(&self, name: &str) -> bool {
        name == DEMO || self.providers.iter().any(|provider| provider.name == name)
    }

    /// The LLM stage's provider if it is none, and targets of a provider that answers no chat.
    fn dangling_names(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |path: String, what: String| faults.push(Fault { path, what });
        if let Some(llm) = self.llm.as_ref().filter(|llm| !self.has_provider(&llm.provider)) {
            add("llm.provider".to_owned(), format!("{:?} is not among the providers", llm.provider));
        }
        for (at, target) in self.targets.iter().enumerate() {
            let provider = self.providers.iter().find(|provider| provider.name == target.provider);
            if provider.is_some_and(|provider| provider.kind == Kind::SystemOne) {
                let what = format!("{:?} takes typed questions only: it can serve the LLM stage", target.provider);
                add(format!("targets[{at}].provider"), what);
            }
        }
        faults
    }
}
