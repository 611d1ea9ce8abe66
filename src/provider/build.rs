//! From a provider's configuration to its client; the only place where keys are read.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use super::Provider;
use super::anthropic::Anthropic;
#[cfg(feature = "bedrock")]
use super::bedrock::{Access, Bedrock, Connector, Places};
#[cfg(not(feature = "bedrock"))]
use super::config::without_bedrock;
use super::config::{Auth, Kind, ProviderConfig};
use super::demo::Demo;
use super::endpoint::Endpoint;
use super::error::{BuildError, innermost};
use super::gemini::Gemini;
use super::http::{self, Wiring};
use super::openai::OpenAi;
use super::secret::Secret;
use super::systemone::SystemOne;

impl ProviderConfig {
    /// Makes the client, reading its key from `env` or its file. Nothing is called yet.
    pub fn build(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Arc<dyn Provider>, BuildError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(BuildError::Faults { name: self.name.clone(), faults });
        }
        Ok(match self.kind {
            Kind::Demo => Arc::new(Demo),
            Kind::OpenAi => Arc::new(OpenAi {
                endpoint: self.endpoint(env)?,
                max_tokens_field: self.max_tokens_field.unwrap_or_default(),
            }),
            Kind::Anthropic => Arc::new(Anthropic::new(self.endpoint(env)?)),
            Kind::Gemini => Arc::new(Gemini { endpoint: self.endpoint(env)? }),
            Kind::SystemOne => Arc::new(SystemOne { endpoint: self.endpoint(env)? }),
            #[cfg(feature = "bedrock")]
            Kind::Bedrock => Arc::new(self.bedrock(env)?),
            #[cfg(not(feature = "bedrock"))]
            Kind::Bedrock => {
                return Err(BuildError::Faults { name: self.name.clone(), faults: vec![without_bedrock()] });
            }
        })
    }

    #[cfg(feature = "bedrock")]
    fn bedrock(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Bedrock, BuildError> {
        let region = self.region.as_deref().unwrap_or_default();
        let is_plain = self.base_url.as_deref().is_some_and(|url| url.starts_with("http://"));
        let connector = Connector::new(self.client(!is_plain)?, self.headers(None));
        let places = Places::new(region, self.connect_timeout, self.proxy.clone());
        let access = Access::of(self.key(env)?, env, places);
        let access = access.map_err(|variable| BuildError::VariableUnusable { name: self.name.clone(), variable })?;
        Ok(Bedrock::new(region, self.base_url.as_deref(), connector, access))
    }

    fn endpoint(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Endpoint, BuildError> {
        let base = self.base_url.as_deref().or(self.kind.official_url()).unwrap_or_default();
        let base = Url::parse(base).map_err(|error| self.failed(error.to_string()))?;
        let client = self.client(base.scheme() == "https")?;
        let key = self.key(env)?;
        Ok(Endpoint { client, base, query: self.query.clone(), headers: self.headers(key.as_ref()), key })
    }

    /// `tls`: whether the provider itself is called with it.
    fn client(&self, tls: bool) -> Result<Client, BuildError> {
        let proxy = self.proxy.as_deref();
        let tls = tls || proxy.is_some_and(|proxy| !proxy.starts_with("http://"));
        let client = http::client(&Wiring { connect_timeout: self.connect_timeout, proxy, past_proxy: None, tls });
        client.map_err(|error| self.failed(innermost(&error.without_url())))
    }

    fn failed(&self, what: String) -> BuildError {
        BuildError::Client { name: self.name.clone(), what }
    }

    fn key(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Secret>, BuildError> {
        let name = || self.name.clone();
        let key = match (&self.api_key_env, &self.api_key_file) {
            (Some(variable), _) => {
                let key = env(variable).filter(|key| !key.trim().is_empty());
                Secret::new(&key.ok_or_else(|| BuildError::KeyMissing { name: name(), variable: variable.clone() })?)
            }
            (None, Some(path)) => Secret::from_file(path).map_err(|source| BuildError::KeyFile {
                name: name(),
                path: path.clone(),
                source,
            })?,
            (None, None) => return Ok(None),
        };
        key.map(Some).ok_or_else(|| BuildError::KeyUnusable { name: name() })
    }

    /// The configured headers and the key's. `faults` has made sure that each one can be sent.
    fn headers(&self, key: Option<&Secret>) -> HeaderMap {
        let pairs = self.headers.iter().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        let key = key.and_then(|key| match self.auth.unwrap_or(self.kind.official_auth()) {
            Auth::Bearer => Some((AUTHORIZATION, key.header("Bearer ")?)),
            Auth::ApiKey => Some((HeaderName::from_static(self.kind.key_header()), key.header("")?)),
            Auth::None => None,
        });
        pairs.chain(key).collect()
    }
}

impl Kind {
    fn official_auth(self) -> Auth {
        match self {
            Self::OpenAi | Self::SystemOne | Self::Bedrock => Auth::Bearer,
            Self::Anthropic | Self::Gemini => Auth::ApiKey,
            Self::Demo => Auth::None,
        }
    }

    fn key_header(self) -> &'static str {
        match self {
            Self::OpenAi | Self::SystemOne | Self::Bedrock | Self::Demo => "api-key",
            Self::Anthropic => "x-api-key",
            Self::Gemini => "x-goog-api-key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_demo_needs_nothing() {
        assert!(ProviderConfig::new("demo", Kind::Demo).build(&no_env).is_ok());
    }

    #[test]
    fn keys_come_from_the_environment_or_a_file() {
        let check = |config: &ProviderConfig, expected: Option<&str>| {
            let env = |name: &str| (name == "KEY").then(|| "sk-from-env".to_owned());
            assert_eq!(config.key(&env).ok().flatten(), expected.and_then(Secret::new));
        };
        let mut config = ProviderConfig::new("a", Kind::OpenAi);
        check(&config, None);
        config.api_key_env = Some("KEY".to_owned());
        check(&config, Some("sk-from-env"));
        config.api_key_env = Some("ABSENT".to_owned());
        check(&config, None);
        assert!(matches!(config.build(&no_env), Err(BuildError::KeyMissing { .. })));

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "sk-from-file\n").unwrap();
        config.api_key_env = None;
        config.api_key_file = Some(path.clone());
        check(&config, Some("sk-from-file"));
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(matches!(config.build(&no_env), Err(BuildError::KeyUnusable { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(config.build(&no_env), Err(BuildError::KeyFile { .. })));
    }

    #[test]
    fn the_key_goes_where_the_kind_or_auth_says() {
        let check = |kind: Kind, auth: Option<Auth>, header: &str, value: &str| {
            let config = ProviderConfig { auth, ..ProviderConfig::new("a", kind) };
            let headers = config.headers(Secret::new("sk-1").as_ref());
            assert_eq!((headers.len(), headers.get(header).unwrap().to_str().unwrap()), (1, value));
        };
        check(Kind::OpenAi, None, "authorization", "Bearer sk-1");
        check(Kind::OpenAi, Some(Auth::ApiKey), "api-key", "sk-1");
        check(Kind::Anthropic, None, "x-api-key", "sk-1");
        check(Kind::Anthropic, Some(Auth::Bearer), "authorization", "Bearer sk-1");
        check(Kind::Gemini, None, "x-goog-api-key", "sk-1");
    }

    #[test]
    fn a_faulty_configuration_is_not_built() {
        let config = ProviderConfig { base_url: Some("nowhere".to_owned()), ..ProviderConfig::new("a", Kind::OpenAi) };
        let Err(error) = config.build(&no_env) else { panic!("it was built") };
        assert!(error.to_string().contains("base_url"), "{error}");
    }
}
