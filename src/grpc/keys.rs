//! KeyService: gives out keys, and takes them back. Secrets are told in the answer that makes them and nowhere else.

use std::sync::Arc;
use std::time::SystemTime;

use tonic::{Request, Response, Status};

use super::convert::key_terms;
use super::violation::{Violations, field};
use super::{pb, status};
use crate::govern::Keys;
use crate::govern::keys::{
    KeyError, KeyId, KeySecret, KeyStore, KeyTerms, StoredKey, VirtualKey, Words, change, create, revoke, rotate,
};
use crate::reference::Store;
use crate::routing::RoutingConfig;

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
    async fn words(&self) -> Result<Words, Status> {
        Words::read(&self.0.routing, self.0.store.as_ref(), []).await.map_err(|error| status::from_store(&error))
    }

    fn store(&self) -> &dyn KeyStore {
        self.0.keys.store().as_ref()
    }

    /// The keys with what they have spent. This server knows of the change from here on.
    async fn told(&self, keys: Vec<VirtualKey>) -> Result<Vec<pb::Key>, Status> {
        self.0.keys.refresh().await.map_err(|error| status::from_store(&error))?;
        let words = self.words().await?;
        let ids: Vec<KeyId> = keys.iter().map(|key| key.id.clone()).collect();
        let today = self.0.keys.ledger().today();
        let totals = self.store().journal_spend(&[], &ids, today).await.map_err(|error| status::from_store(&error))?;
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

    async fn one(&self, key: Result<VirtualKey, KeyError>) -> Result<pb::Key, Status> {
        let key = key.map_err(|error| status::from_key(&error))?;
        let told = self.told(vec![key]).await?.pop();
        told.ok_or_else(status::nobody)
    }

    async fn with_secret(&self, made: Result<(VirtualKey, KeySecret), KeyError>) -> Answer<pb::KeyWithSecret> {
        let (key, secret) = made.map_err(|error| status::from_key(&error))?;
        let key = Some(self.one(Ok(key)).await?);
        Ok(Response::new(pb::KeyWithSecret { key, secret: secret.reveal().to_owned() }))
    }
}

#[tonic::async_trait]
impl pb::key_service_server::KeyService for KeyService {
    async fn create_key(&self, request: Request<pb::CreateKeyRequest>) -> Answer<pb::KeyWithSecret> {
        let terms = request.into_inner().terms.ok_or_else(|| field("terms", "is missing"))?;
        let terms = key_terms(terms)?;
        let words = self.words().await?;
        self.with_secret(create(self.store(), &words, terms, now()).await).await
    }

    async fn list_keys(&self, _: Request<pb::ListKeysRequest>) -> Answer<pb::ListKeysResponse> {
        let stored = self.store().list_keys().await.map_err(|error| status::from_store(&error))?;
        let keys = stored.into_iter().map(|StoredKey { key, .. }| key).collect();
        Ok(Response::new(pb::ListKeysResponse { keys: self.told(keys).await? }))
    }

    async fn get_key(&self, request: Request<pb::GetKeyRequest>) -> Answer<pb::Key> {
        let id = id(&request.get_ref().id)?;
        let stored = self.store().get_key(&id).await.map_err(|error| status::from_store(&error))?;
        let key = stored.map(|stored| stored.key).ok_or(KeyError::Unknown(id));
        self.one(key).await.map(Response::new)
    }

    async fn update_key(&self, request: Request<pb::UpdateKeyRequest>) -> Answer<pb::Key> {
        let request = request.into_inner();
        let id = id(&request.id)?;
        let mask = Mask::new(request.mask)?;
        let terms = key_terms(request.terms.unwrap_or_default())?;
        let words = self.words().await?;
        let changed = change(self.store(), &words, &id, |present| mask.apply(present, &terms)).await;
        self.one(changed).await.map(Response::new)
    }

    async fn rotate_key(&self, request: Request<pb::RotateKeyRequest>) -> Answer<pb::KeyWithSecret> {
        let id = id(&request.get_ref().id)?;
        self.with_secret(rotate(self.store(), &id).await).await
    }

    async fn revoke_key(&self, request: Request<pb::RevokeKeyRequest>) -> Answer<pb::Key> {
        let id = id(&request.get_ref().id)?;
        let revoked = revoke(self.store(), &id, now()).await;
        self.one(revoked).await.map(Response::new)
    }
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

/// Seconds since the Unix epoch.
fn now() -> i64 {
    let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(date.as_secs()).unwrap_or(i64::MAX)
}
