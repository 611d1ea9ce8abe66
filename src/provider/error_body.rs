//! Finds the message in an error's body; every provider and every gateway before it has its own form.

use serde_json::Value;

/// The message, as it stands in the body. Forms: `{"error":{"message"}}` (OpenAI, Anthropic, Gemini), the same in an
/// array (Gemini), `{"error":"..."}` (Ollama), `{"message"}` (Mistral, Azure's gateway), `{"detail"}` (FastAPI), text.
pub(super) fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match serde_json::from_str::<Value>(text) {
        Ok(value) => in_value(&value).unwrap_or("an error without a message").to_owned(),
        Err(_) if text.is_empty() => "no message".to_owned(),
        Err(_) if text.starts_with('<') => "an HTML or XML page".to_owned(),
        Err(_) => text.to_owned(),
    }
}

/// The message in an error object or around it.
pub(super) fn in_value(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(errors) => errors.first().and_then(in_value),
        Value::Object(fields) => {
            ["error", "message", "detail", "msg"].iter().filter_map(|field| fields.get(*field)).find_map(in_value)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &str) {
        assert_eq!(message(body.as_bytes()), expected, "{body}");
    }

    #[test]
    fn the_message_is_found_in_every_form() {
        check(r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#, "no such model");
        check(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "Overloaded");
        check(r#"[{"error":{"code":400,"message":"API key not valid."}}]"#, "API key not valid.");
        check(r#"{"error":"model 'x' not found"}"#, "model 'x' not found");
        check(r#"{"statusCode":401,"message":"Access denied"}"#, "Access denied");
        check(r#"{"error":null,"message":"refused"}"#, "refused");
        check(r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, "field required");
        check("upstream connect error", "upstream connect error");
        check("<html><body>502</body></html>", "an HTML or XML page");
        check("{}", "an error without a message");
        check("", "no message");
    }
}
