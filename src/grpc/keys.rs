//! KeyService: gives out keys, and takes them back. Secrets are told in the answer that makes them and nowhere else.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert::key_terms;
use super::pb;
use super::status::{self, OrStatus, from_key};
use super::violation::{Violations, field};
use crate::calendar::unix_now;
use crate::govern::Keys;
use crate::govern::keys::{
    KeyError, KeyId, KeySecret, KeyStore, KeyTerms, StoredKey, VirtualKey, Words, change, create, revoke, rotate,
};
use crate::reference::{Store, StoreError};
use crate::routing::RoutingConfig;
use crate::telemetry::chain;

/// What the service works with.
pub(super) struct KeyParts {
    pub(super) keys: Keys,
    pub(super) routing: RoutingConfig,
    pub(super) store: Arc<dyn Store>,
}

pub struct KeyService(KeyParts);

type Answer<T> = Result<Response<T>, Status>;

impl KeyService {
    pub(super) fn new(parts: KeyParts) -> Self {
        Self(parts)
    }

    /// What keys may name at present.
    async fn words(&self) -> Result<Words, StoreError> {
        Words::read(&self.0.routing, self.0.store.as_ref(), []).await
    }

    fn store(&self) -> &dyn KeyStore {
        self.0.keys.store().as_ref()
    }

    /// The keys with what they have spent.
    async fn told(&self, keys: Vec<VirtualKey>, words: &Words) -> Result<Vec<pb::Key>, StoreError> {
        let ids: Vec<KeyId> = keys.iter().map(|key| key.id.clone()).collect();
        let today = self.0.keys.ledger().today();
        let totals = self.store().journal_spend(&[], &ids, today).await?;
        let told = keys.into_iter().zip(totals).map(|(key, spent)| {
            let unknown = words.unknown(&key.terms).into_iter().map(|(field, what)| format!("{field}: {what}"));
            pb::Key {
                spent_today: Some(spent.of_day.into()),
                spent_this_month: Some(spent.of_month.into()),
                unknown: unknown.collect(),
                ..key.into()
            }
        });
        Ok(told.collect())
    }

    /// A key after a change, which this server knows of from here on. The change has happened, and a new secret is told
    /// this once: what cannot be read any more is left out of the answer.
    async fn changed(&self, key: VirtualKey, words: Result<Words, StoreError>) -> pb::Key {
        let told = async {
            self.0.keys.refresh().await?;
            self.told(vec![key.clone()], &words?).await
        };
        match told.await {
            Ok(mut told) => told.pop().unwrap_or_else(|| key.into()),
            Err(error) => {
                tracing::error!(key = %key.id, error = chain(&error), "a key was changed, and cannot be told wholly");
                key.into()
            }
        }
    }
}

#[tonic::async_trait]
impl pb::key_service_server::KeyService for KeyService {
    async fn create_key(&self, request: Request<pb::CreateKeyRequest>) -> Answer<pb::KeyWithSecret> {
        let terms = request.into_inner().terms.ok_or_else(|| field("terms", "is missing"))?;
        let terms = key_terms(terms)?;
        let words = self.words().await.or_status()?;
        let (key, secret) = create(self.store(), &words, terms, unix_now()).await.map_err(|error| from_key(&error))?;
        Ok(with_secret(self.changed(key, Ok(words)).await, &secret))
    }

    async fn list_keys(&self, _: Request<pb::ListKeysRequest>) -> Answer<pb::ListKeysResponse> {
        let stored = self.store().list_keys().await.or_status()?;
        let keys = stored.into_iter().map(|StoredKey { key, .. }| key).collect();
        let words = self.words().await.or_status()?;
        Ok(Response::new(pb::ListKeysResponse { keys: self.told(keys, &words).await.or_status()? }))
    }

    async fn get_key(&self, request: Request<pb::GetKeyRequest>) -> Answer<pb::Key> {
        let id = id(&request.get_ref().id)?;
        let stored = self.store().get_key(&id).await.or_status()?;
        let key = stored.map(|stored| stored.key).ok_or_else(|| from_key(&KeyError::Unknown(id)))?;
        let words = self.words().await.or_status()?;
        let told = self.told(vec![key], &words).await.or_status()?.pop();
        told.map(Response::new).ok_or_else(status::nobody)
    }

    async fn update_key(&self, request: Request<pb::UpdateKeyRequest>) -> Answer<pb::Key> {
        let request = request.into_inner();
        let id = id(&request.id)?;
        let mask = Mask::new(request.mask)?;
        let terms = key_terms(request.terms.unwrap_or_default())?;
        let words = self.words().await.or_status()?;
        let changed = change(self.store(), &words, &id, |present| mask.apply(present, &terms)).await;
        let key = changed.map_err(|error| from_key(&error))?;
        Ok(Response::new(self.changed(key, Ok(words)).await))
    }

    async fn rotate_key(&self, request: Request<pb::RotateKeyRequest>) -> Answer<pb::KeyWithSecret> {
        let id = id(&request.get_ref().id)?;
        let (key, secret) = rotate(self.store(), &id).await.map_err(|error| from_key(&error))?;
        Ok(with_secret(self.changed(key, self.words().await).await, &secret))
    }

    async fn revoke_key(&self, request: Request<pb::RevokeKeyRequest>) -> Answer<pb::Key> {
        let id = id(&request.get_ref().id)?;
        let key = revoke(self.store(), &id, unix_now()).await.map_err(|error| from_key(&error))?;
        Ok(Response::new(self.changed(key, self.words().await).await))
    }
}

fn with_secret(key: pb::Key, secret: &KeySecret) -> Response<pb::KeyWithSecret> {
    Response::new(pb::KeyWithSecret { key: Some(key), secret: secret.reveal().to_owned() })
}

fn id(text: &str) -> Result<KeyId, Status> {
    KeyId::new(text).map_err(|error| field("id", error.to_string()))
}

/// Which fields are written.
struct Mask(Vec<Field>);

type Field = fn(&mut KeyTerms, &KeyTerms);

const FIELDS: [(&str, Field); 8] = [
    ("name", |to, from| to.name.clone_from(&from.name)),
    ("role", |to, from| to.role = from.role),
    ("may_route", |to, from| to.may_route = from.may_route),
    ("sets", |to, from| to.sets.clone_from(&from.sets)),
    ("routes", |to, from| to.routes.clone_from(&from.routes)),
    ("policy", |to, from| to.policy.clone_from(&from.policy)),
    ("limits", |to, from| to.limits = from.limits),
    ("expires_at", |to, from| to.expires_at = from.expires_at),
];

impl Mask {
    fn new(mask: Option<prost_types::FieldMask>) -> Result<Self, Status> {
        let paths = mask.unwrap_or_default().paths;
        if paths.is_empty() {
            return Err(field("mask", "is missing: name the fields of `terms` that are to be written"));
        }
        let mut violations = Violations::default();
        let mut fields = Vec::new();
        for path in &paths {
            match FIELDS.iter().find(|(name, _)| name == path) {
                Some((_, field)) => fields.push(*field),
                None if path == "*" => fields.extend(FIELDS.iter().map(|(_, field)| *field)),
                None => violations.add("mask", format!("{path:?} is no field of `terms` that can be written")),
            }
        }
        violations.check()?;
        Ok(Self(fields))
    }

    fn apply(&self, present: &mut KeyTerms, terms: &KeyTerms) {
        self.0.iter().for_each(|write| write(present, terms));
    }
}
