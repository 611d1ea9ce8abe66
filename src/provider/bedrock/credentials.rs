//! What calls to Bedrock are allowed by: an API key of Bedrock's, or AWS credentials from the places where AWS' own tools
//! look for them.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_bedrockruntime::config::{Credentials, ProvideCredentials, Region};
use reqwest::header::HeaderMap;
use tokio::sync::OnceCell;

use super::super::error::innermost;
use super::super::http::{self, Wiring};
use super::super::secret::Secret;
use super::connector::Connector;

/// In the order in which they are looked for.
#[derive(Debug)]
pub(in crate::provider) enum Access {
    ApiKey(Secret),
    /// Of the environment.
    Keys(Credentials),
    Found(Places),
}

impl Access {
    /// `key`: the configured API key.
    pub(in crate::provider) fn of(key: Option<Secret>, env: &dyn Fn(&str) -> Option<String>, places: Places) -> Self {
        let var = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let key = key.or_else(|| Secret::new(&var("AWS_BEARER_TOKEN_BEDROCK")?));
        if let Some(key) = key {
            return Self::ApiKey(key);
        }
        match (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                Self::Keys(Credentials::new(id, secret, var("AWS_SESSION_TOKEN"), None, "the environment"))
            }
            _ => Self::Found(places),
        }
    }

    /// What is sent and could come back in a message.
    pub(super) fn secret(&self) -> Option<Secret> {
        match self {
            Self::ApiKey(key) => Some(key.clone()),
            Self::Keys(keys) => Secret::new(keys.session_token()?),
            Self::Found(_) => None,
        }
    }
}

/// Profiles, web identities, containers and instances, looked at when the first call needs it.
#[derive(Debug)]
pub(in crate::provider) struct Places {
    region: Region,
    connect_timeout: Duration,
    proxy: Option<String>,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl Places {
    pub(in crate::provider) fn new(region: &str, connect_timeout: Duration, proxy: Option<String>) -> Self {
        let region = Region::new(region.to_owned());
        Self { region, connect_timeout, proxy, chain: OnceCell::new() }
    }

    /// The headers configured for the provider do not go to where credentials come from.
    async fn chain(&self) -> Result<DefaultCredentialsChain, CredentialsError> {
        let wiring = Wiring { connect_timeout: self.connect_timeout, proxy: self.proxy.as_deref(), tls: true };
        let client =
            http::client(&wiring).map_err(|error| CredentialsError::invalid_configuration(innermost(&error)))?;
        let config = ProviderConfig::without_region().with_http_client(Connector::new(client, HeaderMap::new()));
        let chain = DefaultCredentialsChain::builder().region(self.region.clone()).configure(config);
        Ok(chain.build().await)
    }
}

impl ProvideCredentials for Places {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.chain.get_or_try_init(|| self.chain()).await?.provide_credentials().await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: Option<&str>, variables: &[(&str, &str)], expected: &str, secret: Option<&str>) {
        let env = |name: &str| {
            let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
            Some((*value).to_owned())
        };
        let places = Places::new("eu-central-1", Duration::from_secs(1), None);
        let access = Access::of(key.and_then(Secret::new), &env, places);
        let found = match &access {
            Access::ApiKey(_) => "key",
            Access::Keys(keys) => keys.access_key_id(),
            Access::Found(_) => "places",
        };
        assert_eq!((found, access.secret()), (expected, secret.and_then(Secret::new)), "{variables:?}");
        let shown = format!("{access:?}");
        assert!(!shown.contains("hush") && secret.is_none_or(|secret| !shown.contains(secret)), "{shown}");
    }

    #[test]
    fn what_is_configured_goes_before_the_environment_and_that_before_all_else() {
        let id = ("AWS_ACCESS_KEY_ID", "AKIA1");
        let pair = [id, ("AWS_SECRET_ACCESS_KEY", "hush-hush")];
        let session = [pair[0], pair[1], ("AWS_SESSION_TOKEN", "of-session")];
        let bearer = [pair[0], pair[1], ("AWS_BEARER_TOKEN_BEDROCK", "bearer-1")];
        check(Some("key-of-bedrock"), &bearer, "key", Some("key-of-bedrock"));
        check(None, &bearer, "key", Some("bearer-1"));
        check(None, &pair, "AKIA1", None);
        check(None, &session, "AKIA1", Some("of-session"));
        check(None, &[id], "places", None);
        check(None, &[id, ("AWS_SECRET_ACCESS_KEY", " ")], "places", None);
    }
}
