//! What follows from a provider's refusal: read from the status and the provider's own words for it.
//!
//! The codes are those of OpenAI (<https://platform.openai.com/docs/guides/error-codes>) and Azure, Anthropic
//! (<https://docs.anthropic.com/en/api/errors>), Gemini (`google.rpc` statuses, `ErrorInfo` reasons), Bedrock
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>), and of servers that
//! speak OpenAI's format. Where a provider has no code of its own for a thing, its sentence is looked at.

use serde_json::Value;

/// Sorts failures by what may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The provider or the way to it is in trouble: connection, 5xx, silence, an answer cut off or malformed.
    Transient,
    /// Too much was asked for in too short a time.
    RateLimited,
    /// The request does not fit into the model; a larger one may take it.
    TooLong,
    /// The content rules of this model or provider; another may answer.
    ContentRefused,
    /// The key, its rights or its account: no request will succeed until somebody acts.
    Authentication,
    /// The provider has no such model for us.
    UnknownModel,
    /// The request itself is at fault; every provider would say the same.
    Invalid,
}

impl ErrorClass {
    /// A word for metrics and logs that does not change between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::TooLong => "too_long",
            Self::ContentRefused => "content_refused",
            Self::Authentication => "authentication",
            Self::UnknownModel => "unknown_model",
            Self::Invalid => "invalid",
        }
    }

    /// Of a refusal: its status, and its body (or the error object inside one) as far as it is JSON.
    pub(super) fn of(status: u16, body: &Value) -> Self {
        let mut words = Words::default();
        words.read(body, 0);
        words.class(status).unwrap_or_else(|| Self::of_status(status))
    }

    fn of_status(status: u16) -> Self {
        match status {
            401..=403 => Self::Authentication,
            404 | 410 => Self::UnknownModel,
            413 => Self::TooLong,
            429 => Self::RateLimited,
            408 | 425 => Self::Transient,
            400..=499 => Self::Invalid,
            // A redirect, which is never followed, is a fault of this provider's configuration: others may answer.
            _ => Self::Transient,
        }
    }
}

/// Codes, by class. Lower case.
const CODES: [(ErrorClass, &[&str]); 6] = [
    (
        ErrorClass::TooLong,
        &[
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
            "request_too_large",
            "string_above_max_length",
        ],
    ),
    (
        ErrorClass::ContentRefused,
        &[
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
            "moderation_blocked",
            "responsibleaipolicyviolation",
        ],
    ),
    (
        ErrorClass::Authentication,
        &[
            "account_deactivated",
            "api_key_invalid",
            "api_key_service_blocked",
            "authentication_error",
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_quota",
            "invalid_api_key",
            "permission_error",
            "unsupported_country_region_territory",
        ],
    ),
    (
        ErrorClass::UnknownModel,
        &["deploymentnotfound", "model_decommissioned", "model_not_available", "model_not_found", "not_found_error"],
    ),
    (
        ErrorClass::RateLimited,
        &[
            "rate_limit_error",
            "rate_limit_exceeded",
            "resource_exhausted",
            "servicequotaexceededexception",
            "throttlingexception",
        ],
    ),
    (
        ErrorClass::Transient,
        &[
            // Bedrock tells a model that is still loading with status 429, one that failed with 424.
            "modelerrorexception",
            "modelnotreadyexception",
            "modelstreamerrorexception",
            "overloaded_error",
            "server_error",
            "timeout_error",
        ],
    ),
];

/// Pieces of sentences of refusals (400 and the like) that have no code of their own. Lower case.
const SENTENCES: [(ErrorClass, &[&str]); 4] = [
    (
        ErrorClass::TooLong,
        &[
            // vLLM, OpenAI, Mistral, Groq
            "maximum context length",
            // Anthropic
            "prompt is too long",
            "exceed context limit",
            // Gemini
            "exceeds the maximum number of tokens",
            // llama.cpp
            "exceeds the available context size",
            "context window",
            // Bedrock
            "input is too long",
        ],
    ),
    (ErrorClass::Authentication, &["credit balance is too low", "api key not valid", "user location is not supported"]),
    (
        ErrorClass::UnknownModel,
        &[
            "model has been decommissioned",
            "the model does not exist",
            "is not a valid model",
            // Bedrock
            "model identifier is invalid",
            "with on-demand throughput",
            "access to the model with the specified model id",
        ],
    ),
    (
        ErrorClass::ContentRefused,
        &["content management policy", "violates our usage policies", "flagged as potentially"],
    ),
];

/// Deepest object in an error that is looked into.
const MAX_DEPTH: usize = 4;

/// What an error's body says of itself, in lower case.
#[derive(Default)]
struct Words {
    codes: Vec<String>,
    sentences: Vec<String>,
    /// Of OpenRouter: the words of a moderation that refused.
    moderated: bool,
}

impl Words {
    fn read(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Array(parts) => parts.iter().take(MAX_DEPTH).for_each(|part| self.read(part, depth + 1)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.field(name, value, depth)),
            Value::String(text) => self.sentences.push(text.to_ascii_lowercase()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn field(&mut self, name: &str, value: &Value, depth: usize) {
        match (name, value) {
            ("code" | "type" | "status" | "reason", Value::String(word)) => self.codes.push(word.to_ascii_lowercase()),
            ("message" | "detail" | "msg" | "error", Value::String(text)) => {
                self.sentences.push(text.to_ascii_lowercase());
            }
            ("flagged_input", Value::String(_)) => self.moderated = true,
            ("error" | "detail" | "details" | "innererror" | "metadata", _) => self.read(value, depth + 1),
            _ => {}
        }
    }

    fn class(&self, status: u16) -> Option<ErrorClass> {
        if self.moderated {
            return Some(ErrorClass::ContentRefused);
        }
        let coded = CODES.iter().find(|(_, codes)| self.codes.iter().any(|word| codes.contains(&word.as_str())));
        // A server in trouble may say anything; a sentence counts only where the request is what is refused.
        let refused = matches!(status, 400 | 403 | 404 | 413 | 422);
        let said = || {
            let says =
                |pieces: &[&str]| self.sentences.iter().any(|text| pieces.iter().any(|piece| text.contains(piece)));
            SENTENCES.iter().find(|(_, pieces)| refused && says(pieces)).map(|(class, _)| *class)
        };
        coded.map(|(class, _)| *class).or_else(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: ErrorClass) {
        let value = serde_json::from_str(body).unwrap_or(Value::Null);
        assert_eq!(ErrorClass::of(status, &value), expected, "{status} {body}");
    }

    #[test]
    fn a_status_alone_says_something() {
        use ErrorClass::*;
        let table = [
            (400, Invalid),
            (401, Authentication),
            (402, Authentication),
            (403, Authentication),
            (404, UnknownModel),
            (405, Invalid),
            (408, Transient),
            (409, Invalid),
            (413, TooLong),
            (422, Invalid),
            (429, RateLimited),
            (301, Transient),
            (500, Transient),
            (503, Transient),
            (529, Transient),
        ];
        for (status, expected) in table {
            check(status, "", expected);
        }
    }

    #[test]
    fn the_providers_codes_say_more() {
        use ErrorClass::*;
        let table = [
            (
                400,
                r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                TooLong,
            ),
            (400, r#"{"error":{"message":"x","type":"invalid_request_error","param":"temperature"}}"#, Invalid),
            (
                400,
                r#"{"error":{"message":"x","type":"invalid_request_error","code":"invalid_prompt"}}"#,
                ContentRefused,
            ),
            (
                429,
                r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Authentication,
            ),
            (429, r#"{"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited),
            (404, r#"{"error":{"message":"x","type":"invalid_request_error","code":"model_not_found"}}"#, UnknownModel),
            (403, r#"{"error":{"code":"unsupported_country_region_territory","message":"x"}}"#, Authentication),
            (
                400,
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentRefused,
            ),
            (404, r#"{"error":{"code":"DeploymentNotFound","message":"x"}}"#, UnknownModel),
            (
                403,
                r#"{"error":{"code":403,"message":"x","metadata":{"reasons":["violence"],"flagged_input":"y"}}}"#,
                ContentRefused,
            ),
            (400, r#"{"error":{"code":400,"type":"exceed_context_size_error","n_ctx":4096,"message":"x"}}"#, TooLong),
            (400, r#"{"error":{"message":"x","code":"model_decommissioned"}}"#, UnknownModel),
            (400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#, Invalid),
            (401, r#"{"type":"error","error":{"type":"authentication_error","message":"x"}}"#, Authentication),
            (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#, UnknownModel),
            (413, r#"{"type":"error","error":{"type":"request_too_large","message":"x"}}"#, TooLong),
            (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, Transient),
            (
                400,
                r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
                Authentication,
            ),
            (400, r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"x"}}"#, Invalid),
            (429, r#"{"code":"ModelNotReadyException","message":"x"}"#, Transient),
            (424, r#"{"code":"ModelErrorException","message":"x"}"#, Transient),
            (400, r#"{"code":"ServiceQuotaExceededException","message":"x"}"#, RateLimited),
            (429, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}"#, RateLimited),
            (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"x"}}"#, Authentication),
            (404, r#"[{"error":{"code":404,"status":"NOT_FOUND","message":"models/x is not found"}}]"#, UnknownModel),
        ];
        for (status, body, expected) in table {
            check(status, body, expected);
        }
    }

    #[test]
    fn sentences_count_where_there_is_no_code() {
        use ErrorClass::*;
        let said = |text: &str| serde_json::json!({"error": {"message": text}}).to_string();
        let table = [
            (400, "This model's maximum context length is 4096 tokens. However, you requested 5000.", TooLong),
            (400, "prompt is too long: 210000 tokens > 200000 maximum", TooLong),
            (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", TooLong),
            (400, "Your credit balance is too low to access the Anthropic API.", Authentication),
            (400, "User location is not supported for the API use.", Authentication),
            (400, "Input is too long for requested model.", TooLong),
            (400, "The provided model identifier is invalid.", UnknownModel),
            (403, "You don't have access to the model with the specified model ID.", UnknownModel),
            (400, "temperature must be at most 1", Invalid),
            (500, "prompt is too long for this moment", Transient),
        ];
        for (status, text, expected) in table {
            check(status, &said(text), expected);
        }
        check(422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Invalid);
        check(400, r#"{"error":"this prompt exceeds the available context size"}"#, TooLong);
        check(400, &format!("{}1{}", "[".repeat(50), "]".repeat(50)), Invalid);
    }
}
