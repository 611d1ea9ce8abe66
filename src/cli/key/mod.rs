//! `semroute key`: virtual keys, on the store itself. A server on it follows within two seconds.

mod terms;
mod told;

use std::time::SystemTime;

use clap::{Args, Subcommand};

use self::terms::{TermArgs, Unset};
use self::told::{as_json, as_table};
use super::progress::note;
use super::{CommandError, Exit, print};
use crate::calendar::Calendar;
use crate::config::Config;
use crate::govern::AuthMode;
use crate::govern::keys::{
    KeyError, KeyId, KeySecret, KeyStore, KeyTerms, SpendTotal, StoredKey, VirtualKey, change, create, revoke, rotate,
};
use crate::store::SqliteStore;

/// Make, list, change and revoke virtual keys.
///
/// Works on the store in the data folder, whether a server runs or not; a running one follows within two seconds. Keys
/// are asked for where the configuration says `auth.mode = "required"`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key, and print its secret: the one time that it can be seen.
    #[command(after_help = "Examples:\n  \
        semroute key create --name operator --role admin\n  \
        semroute key create --name team-a --set assistant --requests-per-minute 600 --money-per-day 5")]
    Create {
        #[command(flatten)]
        terms: Box<TermArgs>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the keys, with what they have spent.
    List {
        /// Those too that are revoked or expired.
        #[arg(long)]
        all: bool,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show one key as JSON.
    Show {
        /// As `semroute key list` names it.
        id: String,
    },
    /// Change a key: what is not named stays.
    #[command(after_help = "Example:\n  semroute key update 0123456789abcdef --money-per-day 20 --unset expires")]
    Update {
        /// As `semroute key list` names it.
        id: String,
        #[command(flatten)]
        terms: Box<TermArgs>,
        /// Take a limit or a bound away; may be repeated.
        #[arg(long, value_name = "WHAT")]
        unset: Vec<Unset>,
    },
    /// Give a key another secret, and print it. The one before ends at once; limits and what was spent stay.
    Rotate {
        /// As `semroute key list` names it.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a key for good, with its calls and streams under way.
    Revoke {
        /// As `semroute key list` names it.
        id: String,
    },
}

pub async fn run(args: KeyArgs, config: Config) -> Result<Exit, CommandError> {
    let store = SqliteStore::open(&config.store_path()).await?;
    let outcome = execute(args.command, &store, &config).await;
    store.close().await;
    outcome
}

async fn execute(command: KeyCommand, store: &SqliteStore, config: &Config) -> Result<Exit, CommandError> {
    match command {
        KeyCommand::Create { terms, json } => {
            let mut new = KeyTerms::default();
            terms.apply(&mut new, now());
            // A key without a role is there to send prompts.
            new.may_route = terms.may_route.unwrap_or(new.role.is_none());
            reveal(&create(store, new, now()).await?, json)?;
            if config.auth.mode == AuthMode::Off {
                note("Keys are not asked for at present: set auth.mode = \"required\" in the configuration.");
            }
        }
        KeyCommand::List { all, json } => {
            let stored = store.list_keys().await?;
            let keys: Vec<VirtualKey> = stored.into_iter().map(|StoredKey { key, .. }| key).collect();
            let keys: Vec<VirtualKey> = keys.into_iter().filter(|key| all || !told::has_ended(key, now())).collect();
            let spent = spent(store, &keys).await?;
            print(&if json { as_json(&keys, &spent).to_string() } else { as_table(&keys, &spent, now()) })?;
        }
        KeyCommand::Show { id } => {
            let id = KeyId::new(&id)?;
            let stored = store.get_key(&id).await?.ok_or(KeyError::Unknown(id))?;
            show(store, stored.key).await?;
        }
        KeyCommand::Update { id, terms, unset } => {
            let edit = |present: &mut KeyTerms| {
                unset.iter().for_each(|what| what.apply(present));
                terms.apply(present, now());
            };
            show(store, change(store, &KeyId::new(&id)?, edit).await?).await?;
        }
        KeyCommand::Rotate { id, json } => reveal(&rotate(store, &KeyId::new(&id)?).await?, json)?,
        KeyCommand::Revoke { id } => {
            let key = revoke(store, &KeyId::new(&id)?, now()).await?;
            note(&format!("Key {} ({}) is revoked", key.id, key.terms.name));
        }
    }
    Ok(Exit::Success)
}

/// The secret alone goes to standard output, so that a script can take it from there.
fn reveal((key, secret): &(VirtualKey, KeySecret), json: bool) -> Result<(), CommandError> {
    if json {
        let told = serde_json::json!({ "id": key.id.as_str(), "name": key.terms.name, "secret": secret.reveal() });
        return Ok(print(&told.to_string())?);
    }
    note(&format!("Key {} ({}). It is not kept and cannot be shown again:", key.id, key.terms.name));
    Ok(print(secret.reveal())?)
}

async fn show(store: &SqliteStore, key: VirtualKey) -> Result<(), CommandError> {
    let keys = [key];
    let spent = spent(store, &keys).await?;
    let told = as_json(&keys, &spent);
    let one = told.as_array().and_then(|keys| keys.first()).cloned().unwrap_or_default();
    Ok(print(&format!("{one:#}"))?)
}

async fn spent(store: &SqliteStore, keys: &[VirtualKey]) -> Result<Vec<SpendTotal>, CommandError> {
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id.clone()).collect();
    let today = Calendar::now().day(tokio::time::Instant::now());
    Ok(store.journal_spend(&[], &ids, today).await?)
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(date.as_secs()).unwrap_or(i64::MAX)
}
