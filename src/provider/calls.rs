//! The tool calls of one answer, numbered by us: providers number them from anywhere, not at all, or all alike.

use uuid::Uuid;

use super::error::Error;

/// Most calls of one answer.
const MAX_CALLS: usize = 256;

/// The calls seen so far.
#[derive(Default)]
pub(super) struct Calls(Vec<Call>);

struct Call {
    theirs: u64,
    id: String,
}

impl Calls {
    /// Where a piece belongs: our index, and the call's id if the piece is its first. `theirs` is the provider's
    /// number; a piece with that number and another id begins a new call.
    pub(super) fn place(&mut self, theirs: u64, id: Option<&str>) -> Result<(u32, Option<String>), Error> {
        let id = id.filter(|id| !id.is_empty());
        let known = self.0.iter().rposition(|call| call.theirs == theirs && id.is_none_or(|id| id == call.id));
        if let Some(index) = known {
            return Ok((index as u32, None));
        }
        let index = self.0.len();
        if index >= MAX_CALLS {
            return Err(Error::malformed(format!("more than {MAX_CALLS} tool calls")));
        }
        let id = id.map_or_else(made_up_id, str::to_owned);
        self.0.push(Call { theirs, id: id.clone() });
        Ok((index as u32, Some(id)))
    }

    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// A call that comes in one piece.
    pub(super) fn add(&mut self, id: Option<&str>) -> Result<(u32, String), Error> {
        let theirs = self.0.len() as u64;
        let (index, id) = self.place(theirs, id)?;
        Ok((index, id.unwrap_or_else(made_up_id)))
    }
}

/// Unique also among the calls of a whole conversation, as Anthropic wants it, and short enough for OpenAI (40).
fn made_up_id() -> String {
    format!("call_{}", Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_find_their_call() {
        let mut calls = Calls::default();
        assert_eq!(calls.place(7, Some("a")).unwrap(), (0, Some("a".to_owned())));
        assert_eq!(calls.place(7, None).unwrap(), (0, None));
        assert_eq!(calls.place(7, Some("")).unwrap(), (0, None));
        assert_eq!(calls.place(7, Some("a")).unwrap(), (0, None));
        assert_eq!(calls.place(9, Some("b")).unwrap(), (1, Some("b".to_owned())));
        // All numbered alike: the id tells them apart.
        assert_eq!(calls.place(7, Some("c")).unwrap(), (2, Some("c".to_owned())));
        assert_eq!(calls.place(7, None).unwrap(), (2, None));
    }

    #[test]
    fn a_call_without_an_id_gets_one_that_every_provider_takes() {
        let mut calls = Calls::default();
        let (first, second) = (calls.add(None).unwrap(), calls.add(None).unwrap());
        assert_eq!((first.0, second.0), (0, 1));
        assert_ne!(first.1, second.1);
        assert!(first.1.len() <= 40 && first.1.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::default();
        assert!((0..MAX_CALLS as u64).all(|number| calls.place(number, None).is_ok()));
        assert!(matches!(calls.place(u64::MAX, None), Err(Error::Malformed { .. })));
    }
}
