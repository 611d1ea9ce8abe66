//! What calls to Bedrock are allowed by: an API key of Bedrock's, or AWS credentials from the places where AWS' own
//! tools look for them.

use std::sync::atomic::{AtomicU32, Ordering};
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

const API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// Where machines and containers find their credentials: beside them, so that no proxy stands between.
const BESIDE: &str = "169.254.0.0/16,fd00:ec2::/32,127.0.0.0/8,::1,localhost";

/// In the order in which they are looked for.
#[derive(Debug)]
pub(in crate::provider) enum Access {
    ApiKey(Secret),
    /// Of the environment.
    Keys(Credentials),
    Found(Places),
}

impl Access {
    /// `key`: the configured API key. The error names the variable that holds one which cannot be sent: whoever set it
    /// did not want other credentials to be taken instead.
    pub(in crate::provider) fn of(
        key: Option<Secret>,
        env: &dyn Fn(&str) -> Option<String>,
        places: Places,
    ) -> Result<Self, &'static str> {
        let var = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        if let Some(key) = key {
            return Ok(Self::ApiKey(key));
        }
        if let Some(key) = var(API_KEY) {
            return Secret::new(&key).map(Self::ApiKey).ok_or(API_KEY);
        }
        Ok(match (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                Self::Keys(Credentials::new(id, secret, var("AWS_SESSION_TOKEN"), None, "the environment"))
            }
            _ => Self::Found(places),
        })
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
    found: OnceCell<(DefaultCredentialsChain, Connector)>,
    /// Looks in succession that found nothing, while a place did not answer.
    unsure: AtomicU32,
}

/// So many such looks are no passing fault: outside of the cloud, its metadata service never answers.
const MOST_UNSURE: u32 = 3;

impl Places {
    pub(in crate::provider) fn new(region: &str, connect_timeout: Duration, proxy: Option<String>) -> Self {
        let region = Region::new(region.to_owned());
        Self { region, connect_timeout, proxy, found: OnceCell::new(), unsure: AtomicU32::new(0) }
    }

    /// The headers configured for the provider do not go to where credentials come from.
    async fn chain(&self) -> Result<(DefaultCredentialsChain, Connector), CredentialsError> {
        let proxy = self.proxy.as_deref();
        let wiring = Wiring { connect_timeout: self.connect_timeout, proxy, past_proxy: Some(BESIDE), tls: true };
        let client =
            http::client(&wiring).map_err(|error| CredentialsError::invalid_configuration(innermost(&error)))?;
        let connector = Connector::new(client, HeaderMap::new());
        let config = ProviderConfig::without_region().with_http_client(connector.clone());
        let chain = DefaultCredentialsChain::builder().region(self.region.clone()).configure(config);
        Ok((chain.build().await, connector))
    }

    /// A place that cannot be reached counts among the chain's as one that has none: that may pass, and is not taken at
    /// once for an operator who has given none.
    async fn look(&self) -> Result<Credentials, CredentialsError> {
        let (chain, connector) = self.found.get_or_try_init(|| self.chain()).await?;
        let before = connector.unanswered();
        let found = chain.provide_credentials().await;
        let is_sure = connector.unanswered() == before;
        let nothing = matches!(found, Err(CredentialsError::CredentialsNotLoaded(_)));
        if !nothing || is_sure {
            self.unsure.store(0, Ordering::Relaxed);
        } else if self.unsure.fetch_add(1, Ordering::Relaxed) + 1 < MOST_UNSURE {
            return Err(CredentialsError::provider_error("none found, and a place where they may be did not answer"));
        }
        found
    }
}

impl ProvideCredentials for Places {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.look())
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
        let access = Access::of(key.and_then(Secret::new), &env, places).unwrap();
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
        check(None, &[("AWS_BEARER_TOKEN_BEDROCK", " "), pair[0], pair[1]], "AKIA1", None);
    }

    #[test]
    fn an_api_key_that_cannot_be_sent_is_not_passed_over() {
        let env = |name: &str| (name == API_KEY).then(|| "two\nlines".to_owned());
        let places = || Places::new("eu-central-1", Duration::from_secs(1), None);
        assert_eq!(Access::of(None, &env, places()).err(), Some(API_KEY));
        assert!(Access::of(Secret::new("configured"), &env, places()).is_ok());
    }
}
