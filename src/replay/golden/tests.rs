use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::provider::FinishReason;
use crate::replay::judge;

fn read_text(content: impl AsRef<[u8]>) -> Result<Vec<Case>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.jsonl");
    std::fs::write(&path, content).unwrap();
    read(&path)
}

fn told(content: impl AsRef<[u8]>) -> Vec<String> {
    match read_text(content) {
        Err(Error::Lines { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => panic!("another error was expected: {error}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn a_line_is_a_request_and_its_checks() {
    let line = json!({
        "id": "capital", "system": "Be brief.", "prompt": "The capital of Switzerland?", "max_output_tokens": 20,
        "temperature": 0, "response_schema": {"type": "object"},
        "expect": {
            "exact": " x ", "contains": ["a", "b"], "not_contains": "c", "regex": "^x", "finish": "stop",
            "json_schema": {"type": "object"},
        },
    });
    let cases = read_text(format!("\u{feff}\n{line}\n\n{{\"prompt\":\"p\",\"expect\":{{\"exact\":\"\"}}}}")).unwrap();
    let brief: Vec<_> = cases.iter().map(|case| (case.id.as_str(), case.line, case.checks.len())).collect();
    assert_eq!(brief, [("capital", 2, 7), ("line 4", 4, 1)], "a schema that stands twice is checked once");
    let request = &cases[0].request;
    let expected = [Message::new(Role::System, "Be brief."), Message::user("The capital of Switzerland?")];
    assert_eq!(request.messages, expected);
    assert_eq!((request.max_output_tokens, request.temperature), (Some(20), Some(0.0)));
    let schema = ResponseSchema { name: "answer".to_owned(), schema: json!({"type": "object"}) };
    assert_eq!(request.response_schema.as_ref(), Some(&schema));
    let names: Vec<_> = cases[0].checks.iter().map(Check::name).collect();
    assert_eq!(names, ["exact", "contains", "contains", "not_contains", "regex", "json_schema", "finish"]);
    assert!(judge(&cases[1].checks, " \n", &FinishReason::Stop).mismatches.is_empty());
}

#[test]
fn conversations_are_taken_as_they_stand() {
    let line = json!({
        "messages": [
            {"role": "system", "text": "s"}, {"role": "user", "text": "u"}, {"role": "assistant", "text": "a"},
            {"role": "user", "text": "v"},
        ],
        "expect": {"finish": "stop"},
    });
    let cases = read_text(line.to_string()).unwrap();
    let roles: Vec<_> = cases[0].request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
}

#[test]
fn a_response_schema_is_an_expectation() {
    let cases = read_text(r#"{"prompt": "p", "response_schema": {"type": "array"}}"#).unwrap();
    let adheres = |text: &str| judge(&cases[0].checks, text, &FinishReason::Stop).mismatches.is_empty();
    assert!(adheres("[]") && !adheres("{}"));
}

#[test]
fn every_fault_of_every_line_is_told_at_once() {
    let content = concat!(
        r#"{"id": "a", "prompt": "secret", "expect": {"exact": "secret"}}"#,
        "\nsecret\n[\"secret\"]\n",
        r#"{"prompt": "secret"}"#,
        "\n",
        r#"{"prompt": "secret", "expect": {}}"#,
        "\n",
        r#"{"expect": {"regex": "(secret"}, "temperature": 3, "promt": "secret"}"#,
        "\n",
        r#"{"prompt": 7, "messages": [], "max_output_tokens": 0, "expect": "secret"}"#,
        "\n\n",
        r#"{"id": "a", "prompt": "p", "expect": {"contains": "x"}}"#,
        "\n",
        r#"{"prompt": "p", "expect": {"contains": [], "not_contains": ["x", ""], "finish": "secret", "matches": 1}}"#,
        "\n",
        r#"{"messages": [{"role": "robot", "text": " ", "name": "x"}, 7, {}], "response_schema": {"type": "secrte"}}"#,
        "\n",
    );
    let expected = [
        "line 2: not valid JSON at column 1: expected value",
        "line 3: not a JSON object",
        "line 4: nothing is expected of the answer: give expect, response_schema or both",
        "line 5: nothing is expected of the answer: give expect, response_schema or both",
        "line 6: prompt is missing; give it, or messages",
        "line 6: temperature is 3, must be a number from 0 to 2",
        "line 6: expect.regex is no regular expression: unclosed group",
        "line 6: promt is not known; known are id, prompt, messages, system, max_output_tokens, temperature, \
         response_schema, expect",
        "line 7: prompt is given beside messages; keep one of them",
        "line 7: prompt is 7, must be a text that is not empty",
        "line 7: messages is an empty list, must be a list of messages that is not empty",
        "line 7: max_output_tokens is 0, must be a whole number from 1 to 4294967295",
        "line 7: expect is a text, must be a JSON object",
        "line 9: id \"a\" is taken by line 1",
        "line 10: expect.contains is an empty list, must be a text or a list of texts, none of them empty",
        "line 10: expect.not_contains is a list, must be a text or a list of texts, none of them empty",
        "line 10: expect.finish is a text, must be one of stop, length, content_filter, tool_calls",
        "line 10: expect.matches is not known; known are exact, contains, not_contains, regex, json_schema, finish",
        "line 11: messages[0].role is a text, must be one of system, user, assistant",
        "line 11: messages[0].text is an empty text, must be a text that is not empty",
        "line 11: messages[0].name is not known; known are role, text",
        "line 11: messages[1] is 7, must be an object with role and text",
        "line 11: messages[2].role is missing",
        "line 11: messages[2].text is missing",
    ];
    let found = told(content);
    assert_eq!(found[..expected.len()], expected, "{found:#?}");
    assert_eq!(found.len(), expected.len() + 1);
    let last = found.last().unwrap();
    assert!(last.starts_with("line 11: response_schema is no JSON schema: "), "{last}");
    assert!(!found[..expected.len()].concat().contains("secret"), "{found:#?}");
}

#[test]
fn empty_files_and_unreadable_ones_are_told() {
    for empty in ["", "\n \n", "\u{feff}"] {
        assert!(matches!(read_text(empty), Err(Error::NoPrompts { .. })));
    }
    for path in ["absent.jsonl", "src"] {
        assert!(matches!(read(Path::new(path)), Err(Error::Unreadable { .. })));
    }
    assert_eq!(told(b"{\"prompt\": \"\xff\"}"), ["line 1: not valid UTF-8 from byte 13"]);
}

#[test]
fn many_faults_are_counted() {
    let Err(error) = read_text("{}\n".repeat(40)) else { panic!("it was taken") };
    let error = error.to_string();
    assert!(error.contains("has 80 faults\n  line 1: ") && error.ends_with("and 30 more"), "{error}");
}

proptest! {
    #[test]
    fn whatever_stands_in_a_file_is_taken_or_told(lines in prop::collection::vec("[\\{\\}\\[\\]\":,a-z 0-9]{0,60}", 0..8)) {
        match read_text(lines.join("\n")) {
            Ok(cases) => prop_assert!(cases.iter().all(|case| !case.checks.is_empty())),
            Err(Error::Lines { faults, total, .. }) => prop_assert!(faults.len() <= total && total > 0),
            Err(Error::NoPrompts { .. }) => prop_assert!(lines.iter().all(|line| line.trim().is_empty())),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
