//! `semroute key`: virtual keys, on the store itself. A server on it follows within two seconds.

mod terms;
mod told;

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use self::terms::{TermArgs, Unset};
pub(super) use self::told::has_ended;
use self::told::{Told, as_json, as_table};
use super::progress::note;
use super::{CommandError, Exit, print};
use crate::app::set_folders;
use crate::calendar::{Calendar, unix_now};
use crate::config::Config;
use crate::govern::AuthMode;
use crate::govern::keys::{
    KeyError, KeyId, KeySecret, KeyStore, KeyTerms, StoredKey, VirtualKey, Words, change, create, revoke, rotate,
};
use crate::reference::{SetName, Store, read_directory};
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
            terms.apply(&mut new, unix_now());
            // A key without a role is there to send prompts.
            new.may_route = terms.may_route.unwrap_or(new.role.is_none());
            let words = words(store, config).await?;
            reveal(&create(store, &words, new, unix_now()).await?, json)?;
            if config.auth.mode == AuthMode::Off {
                note("Keys are not asked for at present: set auth.mode = \"required\" in the configuration.");
            }
        }
        KeyCommand::List { all, json } => {
            let stored = store.list_keys().await?;
            let keys: Vec<VirtualKey> = stored.into_iter().map(|StoredKey { key, .. }| key).collect();
            let keys: Vec<VirtualKey> = keys.into_iter().filter(|key| all || !has_ended(key, unix_now())).collect();
            let told = told(store, &words(store, config).await?, keys).await?;
            print(&if json { as_json(&told).to_string() } else { as_table(&told, unix_now()) })?;
        }
        KeyCommand::Show { id } => {
            let id = KeyId::new(&id)?;
            let stored = store.get_key(&id).await?.ok_or(KeyError::Unknown(id))?;
            show(store, &words(store, config).await?, stored.key).await?;
        }
        KeyCommand::Update { id, terms, unset } => {
            let edit = |present: &mut KeyTerms| {
                unset.iter().for_each(|what| what.apply(present));
                terms.apply(present, unix_now());
            };
            let words = words(store, config).await?;
            let changed = change(store, &words, &KeyId::new(&id)?, edit).await?;
            show(store, &words, changed).await?;
        }
        KeyCommand::Rotate { id, json } => reveal(&rotate(store, &KeyId::new(&id)?).await?, json)?,
        KeyCommand::Revoke { id } => {
            let key = revoke(store, &KeyId::new(&id)?, unix_now()).await?;
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

async fn show(store: &SqliteStore, words: &Words, key: VirtualKey) -> Result<(), CommandError> {
    let told = told(store, words, vec![key]).await?;
    told.iter().try_for_each(|one| Ok(print(&format!("{:#}", told::one(one)))?))
}

async fn told(store: &SqliteStore, words: &Words, keys: Vec<VirtualKey>) -> Result<Vec<Told>, CommandError> {
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id.clone()).collect();
    let today = Calendar::now().day(tokio::time::Instant::now());
    let spent = store.journal_spend(&[], &ids, today).await?;
    Ok(keys.into_iter().zip(spent).map(|(key, spent)| Told::new(key, spent, words)).collect())
}

/// What keys may name. The sets in files that the store does not have yet are there after the next start; where they
/// cannot be read, nobody has to mend them before a budget is lowered.
async fn words(store: &SqliteStore, config: &Config) -> Result<Words, CommandError> {
    let present: BTreeSet<SetName> = store.list_sets().await?.into_iter().map(|set| set.name).collect();
    let folders = set_folders(&config.reference_prompts_dir).unwrap_or_else(|error| {
        note(&format!("warning: {error}; sets that are not in the store yet are not known here"));
        Vec::new()
    });
    let mut to_come = Vec::new();
    for (set, path) in folders {
        if !present.contains(&set) {
            // Files that cannot be read stop a start, and are told then.
            let routes = read_directory(&path).map(|files| files.routes).unwrap_or_default();
            to_come.push((set, routes.into_iter().map(|route| route.name).collect()));
        }
    }
    Ok(Words::read(&config.routing(), store, to_come).await?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::money::Money;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        key: KeyArgs,
    }

    #[tokio::test]
    async fn sets_that_cannot_be_read_hold_up_nothing() {
        let home = tempfile::tempdir().unwrap();
        let reference_prompts_dir = home.path().join("no-folder");
        std::fs::write(&reference_prompts_dir, "").unwrap();
        assert!(set_folders(&reference_prompts_dir).is_err());
        let config = Config { data_dir: home.path().to_owned(), reference_prompts_dir, ..Config::default() };
        let store = SqliteStore::open(&config.store_path()).await.unwrap();
        let run = async |line: &str| {
            let Line { key } = Line::parse_from(line.split(' '));
            execute(key.command, &store, &config).await
        };
        run("key create --name team --money-per-day 5").await.unwrap();
        let id = store.list_keys().await.unwrap().remove(0).key.id;
        run(&format!("key update {id} --money-per-day 2")).await.unwrap();
        run("key list").await.unwrap();
        run(&format!("key show {id}")).await.unwrap();
        let terms = store.get_key(&id).await.unwrap().unwrap().key.terms;
        assert_eq!(terms.limits.money_per_day, Some(Money::from_units(2.0)));
        assert!(run(&format!("key update {id} --set unheard-of")).await.is_err(), "no word is let in unseen");
        store.close().await;
    }
}
