//! Embeddings by text and model, and which of them a version lacks.

use sqlx::{QueryBuilder, SqliteConnection};

use super::fault::Fault;
use super::value::{ROWS_PER_STATEMENT, from_vector, push_list, to_hash, to_purpose, to_text, to_vector};
use super::versions::{self, Frozen};
use crate::reference::{Fingerprint, ReferenceId, RouteName, SetName, StoreError, TextHash, Version, VersionPrompt};

pub(super) async fn missing(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    limit: u32,
) -> Result<Vec<(TextHash, String)>, Fault> {
    let frozen = versions::frozen(db, set, version).await?;
    let rows: Vec<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT m.text_hash, t.text FROM missing_embeddings m JOIN texts t ON t.hash = m.text_hash
         WHERE m.version_id = $1 ORDER BY m.text_hash LIMIT $2",
    )
    .bind(frozen.id)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(hash, text)| Ok((to_hash(&hash)?, to_text(&hash, text)?))).collect()
}

pub(super) async fn count_missing(db: &mut SqliteConnection, set: &SetName, version: Version) -> Result<u64, Fault> {
    let frozen = versions::frozen(db, set, version).await?;
    count_missing_of(db, &frozen).await
}

async fn count_missing_of(db: &mut SqliteConnection, frozen: &Frozen) -> Result<u64, Fault> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM missing_embeddings WHERE version_id = $1")
        .bind(frozen.id)
        .fetch_one(db)
        .await?)
}

/// Passes if the version lacks no embedding.
pub(super) async fn expect_complete(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    frozen: &Frozen,
) -> Result<(), Fault> {
    let missing = count_missing_of(db, frozen).await?;
    if missing == 0 {
        return Ok(());
    }
    let model = Fingerprint(frozen.model.clone());
    Err(StoreError::EmbeddingsMissing { set: set.clone(), version, missing, model }.into())
}

/// What a version that is read lacks: counted in the embeddings themselves, since one may also be gone that was there
/// when the version was built.
async fn lacks_embeddings(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    frozen: &Frozen,
) -> Result<StoreError, Fault> {
    let missing: u64 = sqlx::query_scalar(
        "SELECT count(DISTINCT v.text_hash) FROM version_prompts v
         WHERE v.version_id = $1
           AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.text_hash = v.text_hash AND e.model = $2)",
    )
    .bind(frozen.id)
    .bind(&frozen.model)
    .fetch_one(db)
    .await?;
    Ok(StoreError::EmbeddingsMissing { set: set.clone(), version, missing, model: Fingerprint(frozen.model.clone()) })
}

/// Notes which texts of a new version are to be embedded: those that lack an embedding, or all of them.
pub(super) async fn note_missing(db: &mut SqliteConnection, frozen: &Frozen, anew: bool) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO missing_embeddings (version_id, text_hash)
         SELECT DISTINCT v.version_id, v.text_hash FROM version_prompts v
         WHERE v.version_id = $1
           AND ($3 OR NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.text_hash = v.text_hash AND e.model = $2))",
    )
    .bind(frozen.id)
    .bind(&frozen.model)
    .bind(anew)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn get(
    db: &mut SqliteConnection,
    model: &Fingerprint,
    texts: &[TextHash],
) -> Result<Vec<(TextHash, Vec<f32>)>, Fault> {
    let mut found = Vec::with_capacity(texts.len());
    for texts in texts.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::new("SELECT text_hash, vector FROM embeddings WHERE model = ");
        query.push_bind(&model.0).push(" AND text_hash IN ");
        push_list(&mut query, texts.iter().map(|hash| hash.0.as_slice()));
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query.build_query_as().persistent(false).fetch_all(&mut *db).await?;
        for (hash, vector) in rows {
            found.push((to_hash(&hash)?, to_vector(&vector)));
        }
    }
    Ok(found)
}

pub(super) async fn put(
    db: &mut SqliteConnection,
    model: &Fingerprint,
    embeddings: &[(TextHash, Vec<f32>)],
) -> Result<(), Fault> {
    for embeddings in embeddings.chunks(ROWS_PER_STATEMENT) {
        let mut vectors = QueryBuilder::new("INSERT INTO embeddings (text_hash, model, vector) ");
        vectors.push_values(embeddings, |mut row, (hash, vector)| {
            row.push_bind(hash.0.as_slice()).push_bind(model.0.as_str()).push_bind(from_vector(vector));
        });
        vectors.push(" ON CONFLICT (text_hash, model) DO UPDATE SET vector = excluded.vector");
        vectors.build().persistent(false).execute(&mut *db).await?;

        let mut missing = QueryBuilder::new(
            "DELETE FROM missing_embeddings WHERE version_id IN (SELECT id FROM versions WHERE model = ",
        );
        missing.push_bind(model.0.as_str()).push(") AND text_hash IN ");
        push_list(&mut missing, embeddings.iter().map(|(hash, _)| hash.0.as_slice()));
        missing.build().persistent(false).execute(&mut *db).await?;
    }
    Ok(())
}

/// Id, route, hash, text and purpose of a prompt, and the vector if there is one.
type Row = (String, String, Vec<u8>, String, String, Option<Vec<u8>>);

/// The prompts of a version with their embeddings.
pub(super) async fn prompts(
    db: &mut SqliteConnection,
    set: &SetName,
    version: Version,
    after: Option<&ReferenceId>,
    limit: u32,
) -> Result<Vec<VersionPrompt>, Fault> {
    let frozen = versions::frozen(db, set, version).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT p.id, p.route, p.text_hash, t.text, p.purpose, e.vector
         FROM version_prompts p
         JOIN texts t ON t.hash = p.text_hash
         LEFT JOIN embeddings e ON e.text_hash = p.text_hash AND e.model = $2
         WHERE p.version_id = $1 AND p.id > $3 ORDER BY p.id LIMIT $4",
    )
    .bind(frozen.id)
    .bind(&frozen.model)
    .bind(after.map_or("", ReferenceId::as_str))
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;

    let mut prompts = Vec::with_capacity(rows.len());
    for (id, route, hash, text, purpose, vector) in rows {
        let text = to_text(&hash, text)?;
        let Some(vector) = vector else { return Err(lacks_embeddings(db, set, version, &frozen).await?.into()) };
        let (id, route, embedding) = (ReferenceId::new(&id)?, RouteName::new(&route)?, to_vector(&vector));
        prompts.push(VersionPrompt { id, route, text, purpose: to_purpose(&purpose)?, embedding });
    }
    Ok(prompts)
}
