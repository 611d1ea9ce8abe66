//! Two variables that OpenTelemetry has for every program, taken where neither file nor environment says it in our words.

use toml::{Table, Value};

use super::faults::Fault;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// An empty variable counts as not set. A collector that is to be spoken to otherwise than by gRPC is a fault: spans
/// would go nowhere, and nobody would know.
pub(super) fn environment(table: &mut Table, variables: &[(String, String)]) -> Vec<Fault> {
    let find = |name: &str| {
        let found = variables.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let mut faults = Vec::new();
    if let Some(endpoint) = find(ENDPOINT)
        && fill(table, "otlp_endpoint", endpoint)
        && let Some(protocol) = find(PROTOCOL).filter(|protocol| *protocol != "grpc")
    {
        let what = format!("is {protocol:?}, only \"grpc\" is spoken; telemetry.otlp_endpoint = \"\" turns traces off");
        faults.push(Fault { path: PROTOCOL.to_owned(), what });
    }
    if let Some(service) = find(SERVICE) {
        fill(table, "service_name", service);
    }
    faults
}

/// Whether the field was free.
fn fill(table: &mut Table, field: &str, value: &str) -> bool {
    let section = table.entry("telemetry").or_insert_with(|| Value::Table(Table::new()));
    match section.as_table_mut() {
        Some(section) if !section.contains_key(field) => {
            section.insert(field.to_owned(), Value::String(value.to_owned()));
            true
        }
        // What is there is the operator's word; if it is no table, that is told when it is read.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_fill_what_is_left_open() {
        let check = |text: &str, variables: &[(&str, &str)], expected: &str, faults: &[&str]| {
            let mut table: Table = toml::from_str(text).unwrap();
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let found = environment(&mut table, &variables);
            assert_eq!(found.into_iter().map(|fault| fault.path).collect::<Vec<_>>(), faults, "{text}");
            assert_eq!(table, toml::from_str(expected).unwrap(), "{text}");
        };
        let both = [(ENDPOINT, "http://c:4317"), (SERVICE, "router")];
        check("", &both, "telemetry = { otlp_endpoint = 'http://c:4317', service_name = 'router' }", &[]);
        let ours = "telemetry = { otlp_endpoint = '', service_name = 'ours' }";
        check(ours, &both, ours, &[]);
        check(ours, &[(ENDPOINT, "http://c:4318"), (PROTOCOL, "http/protobuf")], ours, &[]);
        check("", &[(ENDPOINT, " "), (PROTOCOL, "http/protobuf")], "", &[]);
        check("telemetry = 3", &both, "telemetry = 3", &[]);
        let filled = "telemetry = { otlp_endpoint = 'http://c:4318' }";
        check("", &[(ENDPOINT, "http://c:4318"), (PROTOCOL, "http/protobuf")], filled, &[PROTOCOL]);
        check("", &[(ENDPOINT, "http://c:4318"), (PROTOCOL, "grpc")], filled, &[]);
    }
}
