//! JSON out of protobuf's own messages for it.

use serde_json::{Map, Value};

pub(super) fn json_object(object: prost_types::Struct) -> Map<String, Value> {
    object.fields.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// Whole numbers come out as integers: protobuf's Struct only knows doubles, and providers want `5`, not `5.0`.
fn json(value: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    /// Doubles hold every integer up to this one exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT => (number as i64).into(),
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(object)) => json_object(object).into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
    }
}
