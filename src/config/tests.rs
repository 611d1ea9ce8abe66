use super::*;

fn faults(text: &str) -> Vec<String> {
    match Config::parse(text, std::iter::empty(), "test") {
        Ok(_) => Vec::new(),
        Err(ConfigError::Faults { faults, .. }) => faults.into_iter().map(|fault| fault.path).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = Config::parse("", std::iter::empty(), "test").unwrap();
    assert_eq!(config.server.listen.port(), 50051);
    assert_eq!(config.embedding.model, "all-MiniLM-L6-v2");
}

#[test]
fn all_faults_are_listed_at_once_with_their_path() {
    let text = r#"
        data_dri = "x"
        default_targets = ["nobody"]
        [server]
        listen = "everywhere"
        max_prompt_bytes = 0
        [index]
        m = "many"
        ef_search = 3
        [embedding]
        wrokers = 2
        [[providers]]
        name = "a"
        kind = "openai"
        base_url = "http://127.0.0.1:1/v1"
        [[targets]]
        name = "t"
        provider = "b"
        model = "m"
        [sets.assistant.routes.maths]
        targets = ["t", "u"]
    "#;
    let mut found = faults(text);
    found.sort();
    assert_eq!(
        found,
        [
            "data_dri",
            "default_targets[0]",
            "embedding.wrokers",
            "index.ef_search",
            "index.m",
            "server.listen",
            "server.max_prompt_bytes",
            "sets.assistant.routes.maths.targets[1]",
            "targets[0].provider",
        ]
    );
}

#[test]
fn the_caches_size_is_a_number_or_a_text() {
    let size = |text: &str| Config::parse(text, std::iter::empty(), "test").map(|config| config.cache.max_bytes.0);
    for (text, bytes) in [("", 64 << 20), ("cache.max_bytes = 0", 0), ("cache.max_bytes = \"2 GiB\"", 2 << 30)] {
        assert_eq!(size(text).unwrap(), bytes, "{text}");
    }
    for wrong in ["-1", "\"64 MiX\"", "1.5", "\"2000 GiB\"", "true"] {
        assert_eq!(faults(&format!("[cache]\nmax_bytes = {wrong}\n")), ["cache.max_bytes"], "{wrong}");
    }
    assert_eq!(faults("cache.ttl = '0s'"), ["cache.ttl"]);
}

#[test]
fn nan_and_wrong_types_are_faults() {
    assert_eq!(
        faults("[feedback]\nmin_probability = nan\nnear = nan\n"),
        ["feedback.min_probability", "feedback.near"]
    );
    assert_eq!(faults("[llm]\nprovider = \"demo\"\nmodel = 3\n"), ["llm.model"]);
    assert_eq!(faults("[server]\ndrain_timeout = \"soon\"\n"), ["server.drain_timeout"]);
    assert_eq!(faults("targets = 7\n"), ["targets"]);
    assert_eq!(faults("http.listen = 'everywhere'\nhttp.port = 1\n"), ["http.listen", "http.port"]);
    let first_unreadable = "[[targets]]\nname = \"t\"\n[[targets]]\nname = \"u\"\nprovider = \"x\"\nmodel = \"m\"\n";
    assert_eq!(faults(first_unreadable), ["targets[0]", "targets[1].provider"]);
}

#[test]
fn the_budget_is_checked_and_a_typed_provider_is_no_target() {
    let text = r#"
        [llm]
        provider = "typed"
        model = "jev-latest"
        [llm.budget]
        max_share = 2
        max_spend_per_day = 1
        [feedback]
        near = 2
        [feedback.accept]
        agreeing = 0
        [[providers]]
        name = "typed"
        kind = "systemone"
        base_url = "http://127.0.0.1:1/v1"
        [[targets]]
        name = "t"
        provider = "typed"
        model = "m"
    "#;
    assert_eq!(
        faults(text),
        [
            "llm.budget.max_share",
            "llm.budget.max_spend_per_day",
            "feedback.near",
            "feedback.accept.agreeing",
            "targets[0].provider",
        ]
    );
}

#[test]
fn syntax_errors_name_the_line() {
    let error = Config::parse("a = \n", std::iter::empty(), "test").unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn the_environment_goes_over_the_file() {
    let variables = [
        ("SEMROUTE__SERVER__LISTEN", "127.0.0.1:7"),
        ("SEMROUTE__EMBEDDING__WORKERS", "3"),
        ("SEMROUTE__DATA_DIR", "/tmp/x"),
        ("SEMROUTE_OTHER", "ignored"),
    ];
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::parse("[embedding]\nworkers = 1\n", variables, "test").unwrap();
    assert_eq!(config.server.listen.port(), 7);
    assert_eq!(config.embedding.workers, 3);
    assert_eq!(config.data_dir, Path::new("/tmp/x"));
}
