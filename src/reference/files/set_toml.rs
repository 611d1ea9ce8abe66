//! `set.toml`: a set's description, its policy and what is said of its routes.
//!
//! Each section is deserialised by itself, so that a fault in one does not hide those of the others.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::fault::{Faults, Place, Wrong};
use crate::reference::name::{RouteName, TargetName};
use crate::reference::policy::SetPolicy;
use crate::reference::types::{Route, SetEdit};

/// What the file says. Parts that were faulty are as if absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SetToml {
    pub(super) description: String,
    pub(super) policy: SetPolicy,
    pub(super) routes: BTreeMap<RouteName, Route>,
}

/// `[routes.<name>]`.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RouteEntry {
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_similarity: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<TargetName>,
}

impl SetToml {
    /// Reads the content of `file` and tells `faults` what is wrong with it.
    pub(super) fn read(file: &Place, content: &str, faults: &mut Faults) -> Self {
        let mut reader = Reader { content, found: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(content);
        if !errors.is_empty() {
            errors.iter().for_each(|error| reader.toml(error, 0..0));
            reader.tell(file, faults);
            return Self::default();
        }
        let mut set = Self::default();
        for (key, value) in document.into_inner() {
            match key.get_ref().as_ref() {
                "description" => set.description = reader.section(value).unwrap_or_default(),
                "policy" => set.policy = reader.policy(value),
                "routes" => set.routes = reader.routes(value),
                other => {
                    let message = format!("unknown field `{other}`, expected `description`, `policy` or `routes`");
                    reader.add(key.span(), Wrong::Toml { message });
                }
            }
        }
        reader.tell(file, faults);
        set
    }
}

struct Reader<'a> {
    content: &'a str,
    /// Faults with their lines.
    found: Vec<(u64, Wrong)>,
}

impl Reader<'_> {
    /// In the order of lines; tables are read in the order of their keys.
    fn tell(mut self, file: &Place, faults: &mut Faults) {
        self.found.sort_by_key(|(line, _)| *line);
        self.found.into_iter().for_each(|(line, wrong)| faults.add(&file.at(line), wrong));
    }

    fn policy(&mut self, value: Spanned<DeValue<'_>>) -> SetPolicy {
        let spans = Spans::of(&value);
        let policy: SetPolicy = self.section(value).unwrap_or_default();
        self.values(policy.faults(), &spans);
        policy
    }

    fn routes(&mut self, value: Spanned<DeValue<'_>>) -> BTreeMap<RouteName, Route> {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.add(span, Wrong::Toml { message: "`routes` is not a table".to_owned() });
            return BTreeMap::new();
        };
        table.into_iter().filter_map(|(name, value)| self.route(&name, value)).collect()
    }

    fn route(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: Spanned<DeValue<'_>>,
    ) -> Option<(RouteName, Route)> {
        let spans = Spans { whole: name.span(), ..Spans::of(&value) };
        let entry: Option<RouteEntry> = self.section(value);
        let name = RouteName::new(name.get_ref()).map_err(|wrong| self.add(name.span(), wrong.into())).ok()?;
        let RouteEntry { description, min_score, min_similarity, targets } = entry?;
        let route = Route { description, min_score, min_similarity, targets, ..Route::named(name.clone()) };
        self.values(route.faults(), &spans);
        Some((name, route))
    }

    fn section<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        let span = value.span();
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.toml(&error, span)).ok()
    }

    fn values(&mut self, faults: Vec<(&'static str, String)>, spans: &Spans) {
        for (field, must) in faults {
            self.add(spans.field(field), Wrong::Value { field, must });
        }
    }

    fn toml(&mut self, error: &Error, section: Range<usize>) {
        self.add(error.span().unwrap_or(section), Wrong::Toml { message: error.message().to_owned() });
    }

    fn add(&mut self, span: Range<usize>, wrong: Wrong) {
        let before = self.content.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        self.found.push((line as u64, wrong));
    }
}

/// Where the fields of a table stand, noted before it is consumed.
struct Spans {
    whole: Range<usize>,
    fields: Vec<(String, Range<usize>)>,
}

impl Spans {
    fn of(value: &Spanned<DeValue<'_>>) -> Self {
        let fields = value.get_ref().as_table().into_iter().flat_map(DeTable::iter);
        let fields = fields.map(|(key, field)| (key.get_ref().to_string(), field.span())).collect();
        Self { whole: value.span(), fields }
    }

    fn field(&self, name: &str) -> Range<usize> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or_else(|| self.whole.clone(), |(_, span)| span.clone())
    }
}

/// The content of a `set.toml` from which the set and its routes are read again. Fails only if toml cannot write it.
pub fn write_set_toml(set: &SetEdit, routes: &[Route]) -> Result<String, toml::ser::Error> {
    #[derive(Serialize)]
    struct File<'a> {
        description: &'a str,
        policy: &'a SetPolicy,
        routes: BTreeMap<&'a RouteName, RouteEntry>,
    }
    let entry = |route: &Route| RouteEntry {
        description: route.description.clone(),
        min_score: route.min_score,
        min_similarity: route.min_similarity,
        targets: route.targets.clone(),
    };
    let routes = routes.iter().map(|route| (&route.name, entry(route))).collect();
    toml::to_string(&File { description: &set.description, policy: &set.policy, routes })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::reference::name::SetName;
    use crate::reference::policy::Fallback;

    fn read(content: &str) -> (SetToml, Vec<String>) {
        let mut faults = Faults::default();
        let set = SetToml::read(&Place::file(Path::new("set.toml")), content, &mut faults);
        (set, faults.first().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let maths = RouteName::new("maths").unwrap();
        let odd = Route {
            description: "a \"quoted\"\nline".to_owned(),
            min_score: Some(0.3),
            targets: vec![TargetName::new("eu-small").unwrap()],
            ..Route::named(RouteName::new("reverted_card_payment?").unwrap())
        };
        let routes = [Route::named(maths.clone()), odd];
        for fallback in [Fallback::BestGuess, Fallback::Abstain, Fallback::DefaultRoute(maths.clone())] {
            let policy = SetPolicy { min_score: 0.7, fallback, ..SetPolicy::default() };
            let edit = SetEdit { name: SetName::new("s").unwrap(), description: "d".to_owned(), policy };
            let content = write_set_toml(&edit, &routes).unwrap();
            assert!(content.contains("min_score = 0.7\n"), "{content}");
            let (set, faults) = read(&content);
            assert_eq!(faults, Vec::<String>::new(), "{content}");
            assert_eq!((set.description, set.policy), (edit.description, edit.policy));
            assert_eq!(set.routes.into_values().collect::<Vec<_>>(), routes);
        }
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let (_, faults) = read(concat!(
            "descripton = \"typo\"\n",
            "[policy]\n",
            "min_score = nan\n",
            "min_margin = 2\n",
            "[routes.none]\n",
            "targets = [\"t\"]\n",
            "[routes.maths]\n",
            "min_score = 0.5\n",
            "min_similarity = -1.5\n",
            "[routes.editing]\n",
            "targets = [\"\"]\n",
            "[routes.chat]\n",
            "examples = 3\n",
        ));
        let expected = [
            "set.toml:1: unknown field `descripton`, expected `description`, `policy` or `routes`",
            "set.toml:3: min_score must be between 0 and 1, not NaN",
            "set.toml:4: min_margin must be between 0 and 1, not 2",
            "set.toml:6: targets must not be given for the reserved route none",
            "set.toml:9: min_similarity must be between -1 and 1, not -1.5",
            "set.toml:11: target name is empty",
            "set.toml:13: unknown field `examples`, expected one of `description`, `min_score`, `min_similarity`, `targets`",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn malformed_toml_is_told_with_its_line() {
        let (set, faults) = read("description = \"ok\"\n[policy\nmin_score = 0.5\n");
        assert_eq!(set, SetToml::default());
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with("set.toml:2: ")), "{faults:?}");
    }
}
