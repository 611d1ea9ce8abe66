//! Credentials from where AWS' own tools look for them. The SDK reads the environment by itself, so that each case is a
//! process of its own: this test's binary, asked for the one test that makes a call.

use std::process::Command;

use serde_json::json;

use super::super::super::error_class::ErrorClass;
use super::super::super::samples::minimal;
use super::super::super::scripted::{Script, Scripted};
use super::loopback::config;
use super::{CLAUDE, golden};

const CALLER: &str = "provider::bedrock::tests::places::a_call_with_what_the_environment_says";
const URL: &str = "SEMROUTE_TEST_BEDROCK_URL";

/// The answer to the child's call, and the header by which the call was signed.
async fn called(variables: &[(&str, &str)]) -> Option<String> {
    let server = Scripted::start([Script::whole(200, "application/json", golden!("answer.json"))]).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", CALLER, "--ignored", "--nocapture"]).env_clear().env(URL, server.url(""));
    child.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    server.requests().first().map(|request| request.headers["authorization"].clone())
}

#[tokio::test]
#[ignore = "run in a process of its own by the tests beside it"]
async fn a_call_with_what_the_environment_says() {
    let provider = config(std::env::var(URL).unwrap()).build(&|_| None).unwrap();
    match provider.complete(CLAUDE, &minimal().into()).await {
        Ok(answer) => assert_eq!(answer.text, "Grüezi 🦀"),
        Err(error) => {
            assert_eq!((error.status(), error.class()), (Some(401), ErrorClass::Authentication), "{error}");
            assert!(error.to_string().contains("not sent: AWS credentials"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_profile_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("credentials");
    std::fs::write(&path, "[bedrock]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = hush\n").unwrap();
    let path = path.to_str().unwrap();
    let signed = called(&[("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", "bedrock")]).await.unwrap();
    assert!(signed.contains("Credential=AKIAPROFILE/"), "{signed}");
}

#[tokio::test]
async fn a_containers_role_is_found() {
    let role = json!({
        "AccessKeyId": "AKIACONTAINER", "SecretAccessKey": "hush", "Token": "t", "Expiration": "2099-01-01T00:00:00Z",
    });
    let container = Scripted::start([Script::json(200, &role)]).await;
    let signed = called(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.url("/role"))]).await.unwrap();
    assert!(signed.contains("Credential=AKIACONTAINER/"), "{signed}");
}

#[tokio::test]
async fn without_any_nothing_is_sent() {
    assert_eq!(called(&[("HOME", "/nonexistent")]).await, None);
}
