//! The audit log: one line for every request, append-only, each line chained to the one before.
//!
//! # The files
//!
//! JSON Lines in one folder. `audit-00000001-20260131.jsonl`: number of the file and the day (UTC) it was begun on. A
//! line is one object with `v` (the format's version, 1), `seq` (1 for the first line of all, without gaps over all
//! files), `time` (RFC 3339, UTC, milliseconds), `prev`, one of `file`, `note` and `entry`, and last `hash`.
//!
//! * `hash` is the BLAKE3 of the line's bytes before `,"hash":"`, in lower-case hex; `prev` is the `hash` of the line
//!   before it, and 64 zeros for the first. A line that is removed, changed, moved or put in breaks the chain.
//! * `file` is the first line of each file. Its `prev` is the last `hash` of the file before: a file that is removed is
//!   missed.
//! * `note` tells what happened to the log itself: see [`Note`].
//! * `entry` is a request: see [`Entry`]. It holds no text of a prompt or an answer, no message of a provider and no
//!   key. The prompt is there as a keyed BLAKE3 hash; the key lies in a file of its own beside the store, so that
//!   short prompts cannot be guessed by whoever has the log alone. Whoever has both can test a guess.
//!
//! The file `head` holds number and hash of the newest line, written after each batch, so that lines removed from the
//! end are missed too.
//!
//! # What the chain cannot tell
//!
//! It has no secret: whoever may write to the folder can make a whole new chain, the head included. With `mac_key_env`
//! the head carries a MAC under a key that is not in the folder, and a chain made anew has no valid head. An older
//! state of the whole folder, put back with the head of its time, is valid in any case: who fears that copies the head
//! to another machine now and then, and compares (`semroute audit verify` prints it).
//!
//! # Losing nothing
//!
//! One thread writes; it takes what has come in and writes it with one system call, so that a killed process loses
//! nothing that [`Audit::record`] or [`Taken::written`] has confirmed. Against a failing machine `fsync` helps, as
//! often as it is set to.

mod chain;
mod config;
mod desk;
mod disk;
mod entry;
mod error;
mod folder;
mod handle;
mod head;
mod line;
mod log_file;
mod opening;
mod prompt_key;
mod reader;
mod stamp;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use chain::Link;
pub use config::{AuditConfig, Fsync, Policy, Recorded, Rotation};
pub use entry::{Answered, Decided, Entry, Method, Refused, Tokens, Tried};
pub use error::{AuditError, LogError};
pub use folder::{LogPath, files};
pub use handle::{Audit, AuditStats, Taken};
pub use head::{Head, MacKey, SHORTEST_SECRET};
pub use line::{FileHeader, Line, Note};
pub use prompt_key::PromptKey;
pub use reader::{ReadError, Reader};
pub use stamp::Stamp;
pub use verify::{Fault, FaultKind, Signature, Verified, Verify};
