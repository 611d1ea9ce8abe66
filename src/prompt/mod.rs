//! From what a caller sends (plain text or chat messages) to the one text that is classified.

mod message;

use std::sync::Arc;

pub use message::{Message, Role};

/// Why an input holds nothing to classify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    #[error("holds no text beside white space")]
    Empty,
    #[error("has {bytes} bytes, at most {limit} are allowed")]
    TooLong { bytes: usize, limit: usize },
}

/// The text to classify: not blank, and of bounded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt(Arc<str>);

impl Prompt {
    /// `limit` is in bytes of UTF-8.
    pub fn from_text(text: &str, limit: usize) -> Result<Self, PromptError> {
        if text.len() > limit {
            return Err(PromptError::TooLong { bytes: text.len(), limit });
        }
        if text.trim().is_empty() {
            return Err(PromptError::Empty);
        }
        Ok(Self(text.into()))
    }

    /// The newest user turn that is not blank; without one, the newest turn of anybody but the system.
    /// All turns together may have `limit` bytes.
    pub fn from_messages(messages: &[Message], limit: usize) -> Result<Self, PromptError> {
        let bytes = messages.iter().map(|message| message.text.len()).sum();
        if bytes > limit {
            return Err(PromptError::TooLong { bytes, limit });
        }
        let newest = |wanted: fn(Role) -> bool| {
            messages.iter().rev().find(|message| wanted(message.role) && !message.text.trim().is_empty())
        };
        newest(|role| role == Role::User)
            .or_else(|| newest(|role| role != Role::System))
            .map(|message| Self(message.text.as_str().into()))
            .ok_or(PromptError::Empty)
    }

    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_user_turn_is_classified() {
        let turns = |turns: &[(Role, &str)]| -> Vec<Message> {
            turns.iter().map(|(role, text)| Message::new(*role, *text)).collect()
        };
        type Case = (&'static [(Role, &'static str)], Option<&'static str>);
        let table: &[Case] = &[
            (
                &[(Role::System, "be brief"), (Role::User, "first"), (Role::Assistant, "a"), (Role::User, "last")],
                Some("last"),
            ),
            (&[(Role::User, "ask"), (Role::Assistant, "answer")], Some("ask")),
            (&[(Role::User, "ask"), (Role::User, " \n")], Some("ask")),
            (&[(Role::System, "be brief"), (Role::Tool, "result")], Some("result")),
            (&[(Role::System, "be brief")], None),
            (&[], None),
        ];
        for (messages, expected) in table {
            let prompt = Prompt::from_messages(&turns(messages), 100);
            assert_eq!(prompt.ok().as_ref().map(|prompt| &*prompt.0), *expected);
        }
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(Prompt::from_text("abcd", 3), Err(PromptError::TooLong { bytes: 4, limit: 3 }));
        let turns = [Message::user("ab"), Message::user("cd")];
        assert_eq!(Prompt::from_messages(&turns, 3), Err(PromptError::TooLong { bytes: 4, limit: 3 }));
    }
}
