use super::*;

fn parse(toml: &str) -> Result<ProviderConfig, toml::de::Error> {
    toml::from_str(toml)
}

fn check(toml: &str, expected: &[&str]) {
    let faults = parse(toml).unwrap().faults();
    let paths: Vec<&str> = faults.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, expected, "{toml}\n{faults:?}");
}

#[test]
fn sound_configurations_have_no_faults() {
    check("name = 'a'\nkind = 'openai'\napi_key_env = 'OPENAI_API_KEY'", &[]);
    check("name = 'a'\nkind = 'anthropic'\napi_key_file = '/run/secrets/anthropic'\nconnect_timeout = '500ms'", &[]);
    check("name = 'a'\nkind = 'gemini'\napi_key_env = 'GEMINI_API_KEY'\nauth = 'bearer'", &[]);
    check("name = 'a'\nkind = 'openai'\nbase_url = 'http://127.0.0.1:11434/v1'", &[]);
    check("name = 'a'\nkind = 'openai'\nbase_url = 'http://127.0.0.1:11434/v1'\nauth = 'none'", &[]);
    check("name = 'demo'\nkind = 'demo'", &[]);
    let azure = "name = 'azure'\nkind = 'openai'\nauth = 'api-key'\napi_key_env = 'AZURE_KEY'\n\
        base_url = 'https://x.openai.azure.com/openai/deployments/gpt'\nmax_tokens_field = 'max_completion_tokens'\n\
        query = { api-version = '2024-10-21' }\nheaders = { x-team = 'a' }";
    check(azure, &[]);
}

#[test]
fn all_faults_are_listed_at_once() {
    let toml = "name = ' a'\nkind = 'anthropic'\nbase_url = 'nowhere'\nproxy = 'ftp://x'\nconnect_timeout = '0s'\n\
        api_key_env = 'A'\napi_key_file = 'b'\nauth = 'none'\nmax_tokens_field = 'max_tokens'\n\
        headers = { Authorization = 'Bearer x', 'a b' = 'c', host = 'h', x-ok = \"a\\u0007\" }\nquery = { key = 'x' }";
    let expected = [
        "name",
        "api_key_file",
        "auth",
        "base_url",
        "proxy",
        "headers.Authorization",
        "headers.a b",
        "headers.host",
        "headers.x-ok",
        "query.key",
        "connect_timeout",
        "max_tokens_field",
    ];
    check(toml, &expected);
}

#[test]
fn single_faults_are_found() {
    let with = |line: &str| format!("name = 'a'\nkind = 'openai'\n{line}");
    check(&with(""), &["api_key_env"]);
    check(&with("auth = 'bearer'\nbase_url = 'http://h/v1'"), &["auth"]);
    check(&with("api_key_env = 'sk-proj-1234'"), &["api_key_env"]);
    check(&with("api_key_env = 'K'\nbase_url = 'https://user:word@h/v1'"), &["base_url"]);
    check(&with("api_key_env = 'K'\nbase_url = 'https://h/v1?api-version=1'"), &["base_url"]);
    check("name = 'demo'\nkind = 'openai'\napi_key_env = 'K'", &["name"]);
    check("name = 'x'\nkind = 'demo'\napi_key_env = 'K'\nbase_url = 'http://h'", &["kind", "kind"]);
}

#[test]
fn bedrock_wants_a_region_and_a_build_that_holds_it() {
    let bedrock = |toml: &str, expected: &[&str]| {
        let without: &[&str] = if cfg!(feature = "bedrock") { &[] } else { &["kind"] };
        check(&format!("name = 'a'\nkind = 'bedrock'\n{toml}"), &[without, expected].concat());
    };
    bedrock("region = 'eu-central-1'", &[]);
    bedrock("region = 'eu-central-1'\napi_key_env = 'BEDROCK_KEY'\nproxy = 'http://proxy:3128'", &[]);
    bedrock(
        "region = 'eu-central-1'\nbase_url = 'https://vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com'",
        &[],
    );
    bedrock("", &["region"]);
    bedrock("region = 'eu.evil/x'", &["region"]);
    bedrock("region = 'eu-central-1'\nauth = 'none'\nquery = { a = 'b' }", &["auth", "query"]);
    bedrock(
        "region = 'eu-central-1'\nheaders = { X-Amz-Security-Token = 't', x-amz-date = 'd', x-amzn-trace = 'a' }",
        &["headers.X-Amz-Security-Token", "headers.x-amz-date"],
    );
    check("name = 'a'\nkind = 'openai'\napi_key_env = 'K'\nregion = 'eu-central-1'", &["region"]);
}

#[test]
fn a_key_in_plain_text_is_refused_and_not_repeated() {
    let config = parse("name = 'a'\nkind = 'openai'\napi_key = 'sk-plain-key'").unwrap();
    let faults = config.faults();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].1.contains("api_key_env") && faults[0].1.contains("api_key_file"), "{faults:?}");
    assert!(!format!("{config:?} {faults:?}").contains("sk-plain"), "{config:?}");
}

#[test]
fn unknown_fields_are_refused() {
    assert!(parse("name = 'a'\nkind = 'openai'\nbaseurl = 'http://h'").is_err());
    assert!(parse("name = 'a'\nkind = 'cohere'").is_err());
}
