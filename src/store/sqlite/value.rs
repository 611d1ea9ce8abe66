//! Between the domain's values and the columns that hold them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Encode, QueryBuilder, Sqlite, Type};

use super::fault::Fault;
use crate::reference::{PromptPurpose, TextHash};

/// Rows in one statement: a statement a row would spend most of its time on the way to SQLite's thread and back.
pub(super) const ROWS_PER_STATEMENT: usize = 256;

/// Adds `(value, value, ...)`.
pub(super) fn push_list<'a, T>(query: &mut QueryBuilder<Sqlite>, values: impl Iterator<Item = T>)
where
    T: Encode<'a, Sqlite> + Type<Sqlite> + 'a,
{
    query.push("(");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    list.push_unseparated(")");
}

/// A version or revision as a parameter. What does not fit is greater than any number stored here.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|err| Fault::Sql(sqlx::Error::Encode(err.into())))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|err| Fault::Damaged(format!("{what} cannot be read: {err}")))
}

pub(super) fn to_hash(bytes: &[u8]) -> Result<TextHash, Fault> {
    let hash = bytes.try_into().map_err(|_| Fault::Damaged(format!("a text's hash has {} bytes", bytes.len())))?;
    Ok(TextHash(hash))
}

/// A text, if it is the one that was written: what is stored under a hash can be told from what only lies there.
pub(super) fn to_text(hash: &[u8], text: String) -> Result<String, Fault> {
    let hash = to_hash(hash)?;
    if hash == TextHash::of(&text) {
        return Ok(text);
    }
    Err(Fault::Damaged(format!("the text of a reference prompt is not the one that was written (hash {hash})")))
}

pub(super) fn to_purpose(text: &str) -> Result<PromptPurpose, Fault> {
    text.parse().map_err(|()| Fault::Damaged(format!("a prompt's purpose is {text:?}")))
}

pub(super) fn from_vector(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Bytes that are no numbers of four bytes give a vector without dimensions. Whoever builds a snapshot looks at each
/// vector anyway, and can have the text embedded again; a store that is damaged as a whole could only be given up.
pub(super) fn to_vector(bytes: &[u8]) -> Vec<f32> {
    match bytes.as_chunks::<4>() {
        (values, []) => values.iter().map(|value| f32::from_le_bytes(*value)).collect(),
        _ => Vec::new(),
    }
}
