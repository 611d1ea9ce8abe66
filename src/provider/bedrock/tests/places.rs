//! Credentials from where AWS' own tools look for them. The SDK reads the environment by itself, so that each case is a
//! process of its own: this test's binary, asked for the one test that makes a call.
#![expect(clippy::print_stdout, reason = "the child speaks to the test that started it")]

use std::process::Command;

use serde_json::json;

use super::super::super::config::ProviderConfig;
use super::super::super::samples::minimal;
use super::super::super::scripted::{Script, Scripted};
use super::loopback::config;
use super::{CLAUDE, golden};

const CALLER: &str = "provider::bedrock::tests::places::a_call_with_what_the_environment_says";
const URL: &str = "SEMROUTE_TEST_BEDROCK_URL";
const PROXY: &str = "SEMROUTE_TEST_BEDROCK_PROXY";

/// The header by which the child's call was signed, and what the child said. `variables` go to it; with [`PROXY`] among
/// them the provider is called through it, by a name that is nowhere.
async fn called(variables: &[(&str, &str)]) -> (Option<String>, String) {
    let server = Scripted::start([Script::whole(200, "application/json", golden!("answer.json"))]).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", CALLER, "--ignored", "--nocapture"]).env_clear().env(URL, server.url(""));
    child.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    if variables.iter().any(|(name, _)| *name == PROXY) {
        child.env(URL, "http://bedrock.invalid").env(PROXY, server.url(""));
    }
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let requests = server.requests();
    assert!(requests.len() <= 1, "{requests:?}");
    (requests.first().map(|request| request.headers["authorization"].clone()), said)
}

#[tokio::test]
#[ignore = "run in a process of its own by the tests beside it"]
async fn a_call_with_what_the_environment_says() {
    let Ok(url) = std::env::var(URL) else {
        println!("not run: this is for the tests beside it, which set {URL}");
        return;
    };
    let config = ProviderConfig { proxy: std::env::var(PROXY).ok(), ..config(url) };
    match config.build(&|_| None).unwrap().complete(CLAUDE, &minimal().into()).await {
        Ok(answer) => assert_eq!(answer.text, "Grüezi 🦀"),
        Err(error) => println!("{}, {:?}: {error}", error.kind(), error.class()),
    }
}

#[tokio::test]
async fn a_profile_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("credentials");
    std::fs::write(&path, "[bedrock]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = hush\n").unwrap();
    let path = path.to_str().unwrap();
    let (signed, _) = called(&[("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", "bedrock")]).await;
    let signed = signed.unwrap();
    assert!(signed.contains("Credential=AKIAPROFILE/"), "{signed}");
}

fn role() -> Script {
    Script::json(
        200,
        &json!({
            "AccessKeyId": "AKIACONTAINER", "SecretAccessKey": "hush", "Token": "t", "Expiration": "2099-01-01T00:00:00Z",
        }),
    )
}

#[tokio::test]
async fn a_containers_role_is_found() {
    let container = Scripted::start([role()]).await;
    let (signed, said) = called(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.url("/role"))]).await;
    assert!(signed.is_some_and(|signed| signed.contains("Credential=AKIACONTAINER/")), "{said}");
}

#[tokio::test]
async fn what_is_on_this_machine_is_not_asked_through_the_proxy() {
    let container = Scripted::start([role()]).await;
    let uri = container.url("/role");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush-hush");
    let (signed, said) = called(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri), token, (PROXY, "")]).await;
    assert!(signed.is_some_and(|signed| signed.contains("Credential=AKIACONTAINER/")), "{said}");
    assert_eq!(container.requests()[0].headers["authorization"], "hush-hush");
}

#[tokio::test]
async fn without_any_nothing_is_sent() {
    let (signed, said) = called(&[("HOME", "/nonexistent")]).await;
    assert_eq!(signed, None);
    assert!(said.contains("status, Authentication: status 401: not sent: AWS credentials"), "{said}");
}

/// It may pass: a key that is refused would rest for minutes, with all targets of its provider.
#[tokio::test]
async fn a_place_that_does_not_answer_is_no_missing_key() {
    let machine = Scripted::start([Script::close()]).await;
    let place = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*machine.url(""));
    let (signed, said) = called(&[("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "false"), place]).await;
    assert_eq!((signed, machine.requests().is_empty()), (None, false), "{said}");
    assert!(said.contains("connect, Transient: cannot connect: AWS credentials"), "{said}");
}
