//! All providers by name. The built-in demo is always among them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::Provider;
use super::config::ProviderConfig;
use super::demo::{DEMO, Demo};
use super::error::BuildError;
use super::traced::Traced;

/// A cheap handle on the providers, fixed once built.
#[derive(Clone)]
pub struct Providers(Arc<HashMap<String, Arc<dyn Provider>>>);

impl Providers {
    /// From providers that exist already; `demo` is added if it is not among them.
    pub fn new(providers: impl IntoIterator<Item = (String, Arc<dyn Provider>)>) -> Self {
        let mut by_name: HashMap<String, Arc<dyn Provider>> = HashMap::from([(DEMO.to_owned(), Arc::new(Demo) as _)]);
        by_name.extend(providers);
        Self(Arc::new(by_name))
    }

    /// Makes all clients, or says of each one that cannot be made why.
    pub fn build(configs: &[ProviderConfig], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<BuildError>> {
        let (mut providers, mut errors) = (Vec::new(), Vec::new());
        for config in configs {
            match config.build(env) {
                Ok(provider) => {
                    let provider: Arc<dyn Provider> = Arc::new(Traced::new(provider, config));
                    providers.push((config.name.clone(), provider));
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self::new(providers)) } else { Err(errors) }
    }

    /// Faults of all configurations and between them; each path begins with the position, as in `[0].base_url`.
    pub fn faults(configs: &[ProviderConfig]) -> Vec<(String, String)> {
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        for (position, config) in configs.iter().enumerate() {
            if !names.insert(config.name.as_str()) {
                faults.push((format!("[{position}].name"), format!("{:?} is given twice", config.name)));
            }
            faults.extend(config.faults().into_iter().map(|(path, what)| (format!("[{position}].{path}"), what)));
        }
        faults
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.0.get(name)
    }

    /// In no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Kind;
    use super::*;

    #[test]
    fn the_demo_is_always_there() {
        let providers = Providers::build(&[], &|_| None).unwrap();
        assert_eq!(providers.names().collect::<Vec<_>>(), [DEMO]);
        assert!(providers.get(DEMO).is_some() && providers.get("other").is_none());
    }

    #[test]
    fn faults_say_where_they_are() {
        let configs = [ProviderConfig::new("demo", Kind::Demo), ProviderConfig::new("demo", Kind::OpenAi)];
        let paths: Vec<String> = Providers::faults(&configs).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["[1].name", "[1].name", "[1].api_key_env"]);
        assert_eq!(Providers::build(&configs, &|_| None).unwrap_err().len(), 1);
    }
}
