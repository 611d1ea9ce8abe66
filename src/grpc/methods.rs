//! The methods of our services, as the descriptors name them.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::pb;

/// Paths such as `/semroute.v1.RouterService/Route`.
pub fn methods() -> Vec<String> {
    // Made by the build script, so they can be read; without them all calls would count as others.
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default().file;
    let mut paths = Vec::new();
    for file in files {
        for service in &file.service {
            let of = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| of(method.name())));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_methods() {
        let methods = methods();
        for path in [
            "/semroute.v1.RouterService/Route",
            "/semroute.v1.RouterService/CompleteStream",
            "/semroute.v1.ReferenceService/Publish",
            "/semroute.v1.AdminService/GetStatus",
        ] {
            assert!(methods.iter().any(|method| method == path), "{path} is not among {methods:?}");
        }
    }
}
