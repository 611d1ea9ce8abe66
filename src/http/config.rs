//! `[http]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// Where Prometheus' exporters of telemetry usually are.
const DEFAULT_PORT: u16 = 9464;

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port; an empty text turns the port off.
    pub listen: Listen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Listen {
    /// 127.0.0.1:9464, if it is free: who did not ask for the port must not be kept from starting by it.
    #[default]
    IfFree,
    Off,
    At(SocketAddr),
}

impl Listen {
    pub(super) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::IfFree => Some((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()),
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::Off);
        }
        let wrong = |_| D::Error::custom(format!("{text:?} is no address with a port, such as \"127.0.0.1:9464\""));
        text.parse().map(Self::At).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_an_empty_one_is_none() {
        let read = |text: &str| toml::from_str::<HttpConfig>(text).map(|config| config.listen.address());
        assert_eq!(read("").unwrap().map(|address| address.port()), Some(DEFAULT_PORT));
        assert_eq!(read("listen = ''").unwrap(), None);
        assert_eq!(read("listen = '[::1]:7'").unwrap().map(|address| address.to_string()).as_deref(), Some("[::1]:7"));
        for wrong in ["'everywhere'", "'127.0.0.1'", "9464", "false"] {
            read(&format!("listen = {wrong}")).unwrap_err();
        }
    }
}
