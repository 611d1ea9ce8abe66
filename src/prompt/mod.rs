//! From what a caller sends (plain text or chat messages) to the one text that is classified: the newest words of the
//! user, without what agents put around them.

mod ask;
mod code;
mod envelope;
#[cfg(test)]
mod fixtures;
mod message;
mod part;
mod tags;
mod tool_call;

use std::sync::Arc;

pub use message::{Message, PartRef, Reasoning, Role};
pub use part::{Image, ImageDetail, ImageSource, MediaType, Part};
pub use tool_call::{Answered, ToolCall};

use ask::ask;

/// The user's own words in `text`; all of it if there are none. Reference prompts are read as requests are.
pub fn words_of(text: &str) -> Arc<str> {
    ask(text).unwrap_or(text.into()).trim().into()
}

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
    /// The user's own words in `text`; all of it if there are none. `limit` is in bytes of UTF-8.
    pub fn from_text(text: &str, limit: usize) -> Result<Self, PromptError> {
        if text.len() > limit {
            return Err(PromptError::TooLong { bytes: text.len(), limit });
        }
        if text.trim().is_empty() {
            return Err(PromptError::Empty);
        }
        Ok(Self::of(text))
    }

    /// The newest user turn with words of the user; else the newest that is not blank; without one, the newest turn of
    /// anybody but the system. All turns together may have `limit` bytes, images not counted.
    pub fn from_messages(messages: &[Message], limit: usize) -> Result<Self, PromptError> {
        let bytes = messages.iter().map(Message::bytes).sum();
        if bytes > limit {
            return Err(PromptError::TooLong { bytes, limit });
        }
        let turns = |wanted: fn(Role) -> bool| {
            let newest = messages.iter().rev().filter(move |message| wanted(message.role));
            newest.map(|message| message.text.as_str()).filter(|text| !text.trim().is_empty())
        };
        let of_the_user = || turns(|role| role == Role::User);
        let with_words = of_the_user().find(|text| ask(text).is_some());
        let newest = with_words.or_else(|| of_the_user().next());
        let newest = newest.or_else(|| turns(|role| role != Role::System).next());
        newest.map(Self::of).ok_or(PromptError::Empty)
    }

    fn of(text: &str) -> Self {
        Self(words_of(text))
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
