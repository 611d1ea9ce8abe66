//! `[server.tls]` of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

/// All files are PEM. They are read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, followed by those that lead to the authority.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// The authorities that clients' certificates are signed by.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether clients show certificates. Default: off.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for.
    #[default]
    Off,
    /// One that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

impl TlsConfig {
    /// Everything that is wrong: field and fault. The files themselves are looked at when the server starts.
    pub fn faults(&self) -> Vec<(String, String)> {
        let fault = |what: &str| vec![("client_ca".to_owned(), what.to_owned())];
        match (&self.client_ca, self.client_auth) {
            (None, ClientAuth::Optional | ClientAuth::Required) => fault("is missing: client_auth needs it"),
            (Some(_), ClientAuth::Off) => fault("is given, and client_auth is \"off\": nobody is asked"),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_and_their_use_go_together() {
        let check = |more: &str, expected: usize| {
            let config: TlsConfig = toml::from_str(&format!("certificate = 'c'\nkey = 'k'\n{more}")).unwrap();
            assert_eq!(config.faults().len(), expected, "{more}");
        };
        check("", 0);
        check("client_ca = 'a'\nclient_auth = 'required'", 0);
        check("client_ca = 'a'\nclient_auth = 'optional'", 0);
        check("client_ca = 'a'", 1);
        check("client_auth = 'required'", 1);
        assert!(toml::from_str::<TlsConfig>("certificate = 'c'").is_err());
    }
}
