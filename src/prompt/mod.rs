//! From what a caller sends (plain text or chat messages) to the one text that is classified.

mod message;

pub use message::{Message, Role};
