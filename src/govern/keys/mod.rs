//! Virtual keys: who calls, what he may do, and what he may spend.
//!
//! A request never waits for the store: keys are looked up in a table in memory that follows the store, and limits are
//! counted in memory and written behind. What is reserved is written ahead, in blocks, so that a server that is killed
//! forgets nothing that was spent, or only what was reserved in the few milliseconds that the writing of a block takes.

mod account;
mod caller;
mod change;
mod config;
mod counts;
mod error;
mod estimate;
mod follow;
mod journal;
mod key;
mod ledger;
mod reservation;
mod role;
mod secret;
mod spend;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod window;
mod words;

pub use caller::Caller;
pub use change::{KeyError, change, create, revoke, rotate};
pub use config::{AuthConfig, AuthMode};
pub use counts::KeyCounts;
pub use error::{Forbidden, Period, Refused, Unauthenticated};
pub use estimate::Estimate;
pub use follow::Keys;
pub use journal::follow_key_spend;
pub use key::{KeyTerms, Limits, MAX_KEY_NAME_BYTES, VirtualKey};
pub use ledger::{Ledger, Remainder};
pub use reservation::{Amount, Entered, Reservation};
pub use role::Role;
pub use secret::{IdError, KeyId, KeySecret, SecretHash};
pub use store::{KeyStamp, KeyStore, SpendChange, SpendTotal, StoredKey};
pub use words::Words;
