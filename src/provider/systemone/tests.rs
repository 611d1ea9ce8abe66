use super::super::config::{Kind, ProviderConfig};
use super::super::samples::check_body;
use super::super::scripted::{Script, Scripted};
use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/golden/wire/systemone/", $name))
    };
}

fn question() -> ChoiceQuestion {
    let option = |label: &str, text: &str| (label.to_owned(), text.to_owned());
    ChoiceQuestion {
        state: "Say \"grüezi\" 🦀".to_owned(),
        instructions: "Which route fits it best?".to_owned(),
        options: vec![option("translation", "into another language"), option("maths", ""), option("none", "no other")],
    }
}

#[test]
fn requests_are_golden() {
    check_body(&body("jev-latest", &question()), golden!("request.json"));
}

#[test]
fn answers_are_read() {
    let usage = Usage::new(86, 0);
    let expected = Choice {
        label: "translation".to_owned(),
        probability: Some(0.94),
        usage: Some(usage),
        model: Some("jev-1.13.0".to_owned()),
    };
    assert_eq!(choice(golden!("answer.json").as_bytes()), Ok(expected));
    let bare = br#"{"answers":{"route":{"choice":"maths"}}}"#;
    let expected = Choice { label: "maths".to_owned(), probability: None, usage: None, model: None };
    assert_eq!(choice(bare), Ok(expected));
    let odd = br#"{"answers":{"route":{"choice":"maths","probabilities":{"maths":1.5}}}}"#;
    assert_eq!(choice(odd).unwrap().probability, None);
    for malformed in ["", "{}", r#"{"answers":{}}"#, r#"{"answers":{"route":{"noul":0.5}}}"#, "<html>"] {
        assert!(matches!(choice(malformed.as_bytes()), Err(Error::Malformed { .. })), "{malformed}");
    }
}

#[tokio::test]
async fn it_is_called_at_its_address_and_refuses_chat() {
    let server = Scripted::start([
        Script::whole(200, "application/json", golden!("answer.json")),
        Script::json(422, &json!({"detail": [{"msg": "questions: too many, in Say \"grüezi\" 🦀"}]})),
    ])
    .await;
    let config = ProviderConfig {
        base_url: Some(server.url("/v1")),
        api_key_env: Some("KEY".to_owned()),
        ..ProviderConfig::new("typed", Kind::SystemOne)
    };
    let provider = config.build(&|_| Some("sk-typed-0123456789".to_owned())).unwrap();
    assert!(provider.takes_typed_questions());
    let chosen = provider.choose("jev-latest", &question()).await.unwrap();
    assert_eq!((chosen.label.as_str(), chosen.probability), ("translation", Some(0.94)));
    let asked = &server.requests()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/v1/systemone"));
    assert_eq!(asked.headers["authorization"], "Bearer sk-typed-0123456789");
    let refused = provider.choose("jev-latest", &question()).await.unwrap_err();
    assert!(matches!(&refused, Error::Status { status: 422, message, .. } if !message.contains("grüezi")), "{refused}");
    assert_eq!(provider.complete("m", &said(&question()).into()).await, Err(CHAT));
    assert!(matches!(provider.stream("m", &said(&question()).into()).await, Err(Error::Unsupported { .. })));
}
