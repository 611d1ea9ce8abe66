//! Who sends the traces.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// By the semantic conventions for services. The environment is not asked.
pub(super) fn resource(service: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()))
        .build()
}
