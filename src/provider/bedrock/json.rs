//! Free JSON out of the SDK's answers.

use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// The SDK has lost the order of the fields; sorted, equal answers are equal texts.
pub(super) fn json(document: Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(truth) => truth.into(),
        Document::String(text) => text.into(),
        Document::Number(Number::PosInt(number)) => number.into(),
        Document::Number(Number::NegInt(number)) => number.into(),
        Document::Number(Number::Float(number)) => number.into(),
        Document::Array(values) => values.into_iter().map(json).collect(),
        Document::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(name, value)| (name, json(value))).collect();
            fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn documents_become_json_with_sorted_fields() {
        let names = ["d", "a", "c", "b"].map(|name| (name.to_owned(), Document::Null));
        let numbers = [Number::PosInt(1), Number::NegInt(-1), Number::Float(0.5), Number::Float(f64::NAN)];
        let list = numbers.map(Document::Number).into_iter().chain([Document::Bool(true), "x".into()]).collect();
        let fields = names.into_iter().chain([("list".to_owned(), Document::Array(list))]);
        let found = json(Document::Object(fields.collect::<HashMap<_, _>>())).to_string();
        assert_eq!(found, r#"{"a":null,"b":null,"c":null,"d":null,"list":[1,-1,0.5,null,true,"x"]}"#);
    }
}
