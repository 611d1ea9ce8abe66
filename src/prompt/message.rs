//! Chat messages: the one request form that callers send and that providers are given.

use serde::{Deserialize, Serialize};

use super::part::{Image, Part};
use super::tool_call::{Answered, ToolCall};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    /// All words of the turn; those of its parts, if it has any, with an empty line between them.
    pub text: String,
    /// What the turn is made of, where that is more than one text: see [`Message::of_parts`], which keeps `text` true.
    pub parts: Vec<Part>,
    /// What the assistant asked for.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's turn: the call that it answers. Without it the turn is sent as the user's.
    pub answers: Option<Answered>,
    /// What the assistant thought before it said this.
    pub reasoning: Vec<Reasoning>,
    /// Everything up to the end of this turn is worth keeping in the provider's prompt cache.
    pub cache_mark: bool,
}

/// What a model thought before it answered, as far as its provider shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    pub text: String,
    /// Anthropic's seal, without which it does not take the thought back; of a redacted thought, the thought itself.
    pub signature: Option<String>,
    /// The provider hides the words: `text` is empty.
    pub redacted: bool,
}

impl Message {
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            parts: Vec::new(),
            tool_calls: Vec::new(),
            answers: None,
            reasoning: Vec::new(),
            cache_mark: false,
        }
    }

    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// A turn of texts and images in their order.
    pub fn of_parts(role: Role, parts: Vec<Part>) -> Self {
        let text = parts.iter().filter_map(Part::text).collect::<Vec<_>>().join("\n\n");
        Self { parts, ..Self::new(role, text) }
    }

    /// The turn as parts, also where it was given as one text; an empty text is none.
    pub fn pieces(&self) -> Vec<PartRef<'_>> {
        if self.parts.is_empty() {
            return Some(PartRef::Text(&self.text)).filter(|_| !self.text.is_empty()).into_iter().collect();
        }
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => PartRef::Text(text),
                Part::Image(image) => PartRef::Image(image),
            })
            .collect()
    }

    /// Whether it is one text and nothing else, as almost every turn is.
    pub fn is_plain(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn has_image(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Image(_)))
    }

    /// All words, those of its tool calls and thoughts included; images are not.
    pub fn bytes(&self) -> usize {
        let calls = self.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
        let thoughts = self.reasoning.iter().map(|thought| {
            thought.text.len() + thought.signature.as_ref().map_or(0, String::len) // they are sent back
        });
        self.text.len() + calls.sum::<usize>() + thoughts.sum::<usize>()
    }
}

/// A part of a message that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartRef<'a> {
    Text(&'a str),
    Image(&'a Image),
}

#[cfg(test)]
mod tests {
    use super::super::{ImageSource, MediaType};
    use super::*;

    #[test]
    fn a_turn_of_parts_has_all_its_words_as_text() {
        let bytes = b"GIF89a".as_slice().into();
        let source = ImageSource::Bytes { bytes, media_type: MediaType::Gif };
        let image = Image { source, detail: None };
        let parts = vec![Part::Text("one".to_owned()), Part::Image(image.clone()), Part::Text("two".to_owned())];
        let turn = Message::of_parts(Role::User, parts);
        assert_eq!((turn.text.as_str(), turn.has_image(), turn.is_plain()), ("one\n\ntwo", true, false));
        assert_eq!(turn.pieces(), [PartRef::Text("one"), PartRef::Image(&image), PartRef::Text("two")]);
    }

    #[test]
    fn a_plain_turn_is_one_part_unless_it_is_empty() {
        assert_eq!(Message::user("one").pieces(), [PartRef::Text("one")]);
        assert_eq!(Message::user("").pieces(), []);
        assert!(Message::user("one").is_plain());
    }

    #[test]
    fn every_word_counts() {
        let call = ToolCall { name: "ab".to_owned(), arguments: "{}".to_owned(), ..ToolCall::default() };
        let thought = Reasoning { text: "abc".to_owned(), signature: Some("d".to_owned()), redacted: false };
        let turn = Message { tool_calls: vec![call], reasoning: vec![thought], ..Message::user("12345") };
        assert_eq!(turn.bytes(), 5 + 4 + 4);
    }
}
