//! Variables over the file: `SEMROUTE__A__B=value` sets `a.b`.

use toml::{Table, Value};

use super::faults::Fault;

const PREFIX: &str = "SEMROUTE__";

/// Writes every variable with the prefix into the table. The value is read as TOML if it is TOML, else as a text.
pub(super) fn environment(table: &mut Table, variables: impl Iterator<Item = (String, String)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut named: Vec<(String, String)> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    named.sort();
    for (name, value) in named {
        let keys: Vec<String> = name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
        if keys.iter().any(String::is_empty) || !set(table, &keys, read(&value)) {
            faults.push(Fault { path: name, what: "names no field that can be set".to_owned() });
        }
    }
    faults
}

fn read(value: &str) -> Value {
    let wrapped = toml::from_str::<Table>(&format!("value = {value}"));
    let parsed = wrapped.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(value.to_owned()))
}

fn set(table: &mut Table, keys: &[String], value: Value) -> bool {
    match keys {
        [] => false,
        [last] => {
            table.insert(last.clone(), value);
            true
        }
        [first, rest @ ..] => {
            let below = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
            below.as_table_mut().is_some_and(|below| set(below, rest, value))
        }
    }
}
