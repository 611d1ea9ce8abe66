//! A client in another language that is given nothing but the address: it learns the services by reflection.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::server::{Setup, TestServer};

/// The packages come over the network.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const CLIENT_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_needs_nothing_but_the_address() {
    let python = match python().await {
        Ok(python) => python,
        Err(why) => {
            // Past the harness, which shows a passed test's output to nobody.
            writeln!(std::io::stderr(), "skipped a_python_client_needs_nothing_but_the_address: {why}").unwrap();
            return;
        }
    };
    let server = Setup::default().start().await;
    let found = answers(&python, &server, "what is 7 times 8?").await;

    let services: Vec<&str> = texts(&found["services"]);
    for expected in [
        "grpc.health.v1.Health",
        "semroute.v1.AdminService",
        "semroute.v1.ReferenceService",
        "semroute.v1.RouterService",
    ] {
        assert!(services.contains(&expected), "{services:?}");
    }
    assert_eq!(found["health"], json!({"status": "SERVING"}));

    let decision = &found["route"]["decision"];
    assert_eq!((&decision["route"], &decision["stage"]), (&json!("maths"), &json!("STAGE_EMBEDDING")));
    assert_eq!(decision["neighbours"][0]["text"], "what is 12 times 17");
    assert_eq!(found["route"]["plan"]["targets"][0]["provider"], "demo");

    let complete = &found["complete"];
    let answer = complete["text"].as_str().unwrap();
    assert!(answer.contains("demo answer") && answer.contains("7 times 8"), "{answer}");
    assert_eq!(
        (&complete["served"]["actual_provider"], &complete["decision"]["route"]),
        (&json!("demo"), &json!("maths"))
    );

    let [first, pieces @ .., last] = found["stream"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(first["decision"]["route"], "maths");
    assert_eq!(last["served"]["finish_reason"], "FINISH_REASON_STOP");
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect::<String>(), answer);
}

/// What the client prints.
async fn answers(python: &Path, server: &TestServer, prompt: &str) -> Value {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/reflection_client.py");
    let arguments = [client.to_str().unwrap(), &server.address.to_string(), prompt];
    let ended = run(python, &arguments, CLIENT_LIMIT).await.unwrap();
    serde_json::from_slice(&ended.stdout).unwrap()
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

/// A Python that has the client's packages, made once and kept in the target folder; or why there is none.
async fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-client");
    let python = folder.join("bin/python");
    // Trying it tells a whole environment from one that was left half made or whose Python has gone.
    if run(&python, &["-c", "import grpc, grpc_reflection"], CLIENT_LIMIT).await.is_err() {
        run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()], INSTALL_LIMIT).await?;
        let install = ["-m", "pip", "install", "--quiet", "--only-binary=:all:", "grpcio", "grpcio-reflection"];
        run(&python, &install, INSTALL_LIMIT).await?;
    }
    Ok(python)
}

/// Runs a program to its good end; otherwise says what went wrong.
async fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Output, String> {
    let named = format!("{} {}", program.display(), arguments.join(" "));
    let running = Command::new(program).args(arguments).kill_on_drop(true).output();
    match tokio::time::timeout(limit, running).await {
        Err(_) => Err(format!("{named}: not done after {limit:?}")),
        Ok(Err(error)) => Err(format!("{named}: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(output),
        Ok(Ok(output)) => Err(format!("{named}: {}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}
