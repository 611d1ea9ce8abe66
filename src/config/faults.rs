//! Reading a table so that one fault does not hide the next: what cannot be read is noted, cut out and read around.

use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::{Table, Value};

/// Something wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For example `providers[1].base_url`.
    pub path: String,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{place} is not TOML: {what}")]
    Syntax { place: String, what: String },
    #[error("{} in {place}:{}", count(.faults.len()), list(.faults))]
    Faults { place: String, faults: Vec<Fault> },
}

fn count(faults: usize) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{faults} faults") }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// More faults than this and the file is something else.
const MAX_FAULTS: usize = 100;

/// Array elements that were cut out: the array's path and the element's place in the file.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<(String, usize)>);

impl Cuts {
    /// Where element `index` of what is left stands in the file.
    fn original(&self, array: &str, index: usize) -> usize {
        let mut gone: Vec<usize> = self.0.iter().filter(|(path, _)| path == array).map(|(_, at)| *at).collect();
        gone.sort_unstable();
        gone.into_iter().fold(index, |index, at| if at <= index { index + 1 } else { index })
    }

    /// A path such as `targets[0].model` with the index that the file has.
    pub(super) fn restore(&self, path: &str) -> String {
        let Some((array, rest)) = path.split_once('[') else { return path.to_owned() };
        let Some((index, rest)) = rest.split_once(']') else { return path.to_owned() };
        match index.parse() {
            Ok(index) => format!("{array}[{}]{rest}", self.original(array, index)),
            Err(_) => path.to_owned(),
        }
    }
}

/// Reads as much as can be read; what could not is among the faults, and has its default.
pub(super) fn read<T: DeserializeOwned + Default>(mut table: Table) -> (T, Vec<Fault>, Cuts) {
    let mut faults = Vec::new();
    let mut cuts = Cuts::default();
    for _ in 0..MAX_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(table.clone())) {
            Ok(read) => return (read, faults, cuts),
            Err(error) => error,
        };
        let mut steps: Vec<Step> = error.path().iter().filter_map(Step::of).collect();
        let what = error.inner().to_string().trim().to_owned();
        // An unknown key is told by its name alone; the path ends at the table that holds it.
        if let Some(key) = unknown_key(&what)
            && steps.last() != Some(&Step::Key(key.clone()))
        {
            steps.push(Step::Key(key));
        }
        let path = cuts.restore(&path_of(&steps));
        // A required field that was cut out is missing because it was wrong, which has been told.
        let told = |field: String| faults.iter().any(|fault: &Fault| fault.path == format!("{path}.{field}"));
        if !missing_field(&what).is_some_and(told) {
            faults.push(Fault { path, what: first_line(&what) });
        }
        if let Some((Step::Index(index), array)) = steps.split_last() {
            let array = path_of(array);
            cuts.0.push((array.clone(), cuts.original(&array, *index)));
        }
        if !cut(&mut table, &steps) {
            break;
        }
    }
    (T::default(), faults, cuts)
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn of(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Map { key } => Some(Self::Key(key.clone())),
            Segment::Seq { index } => Some(Self::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

fn path_of(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.push_str(&format!(".{key}")),
        }
    }
    if path.is_empty() { "(top level)".to_owned() } else { path }
}

fn unknown_key(what: &str) -> Option<String> {
    quoted_after(what, "unknown field `")
}

fn missing_field(what: &str) -> Option<String> {
    quoted_after(what, "missing field `")
}

fn quoted_after(what: &str, start: &str) -> Option<String> {
    what.strip_prefix(start)?.split_once('`').map(|(name, _)| name.to_owned())
}

fn first_line(what: &str) -> String {
    what.lines().next().unwrap_or_default().to_owned()
}

/// Removes the value at the end of `steps`. False if there is none, so that nothing would be gained by reading again.
fn cut(table: &mut Table, steps: &[Step]) -> bool {
    let Some((last, way)) = steps.split_last() else { return false };
    let mut place: Option<&mut Value> = None;
    for step in way {
        place = match (place, step) {
            (None, Step::Key(key)) => table.get_mut(key),
            (Some(Value::Table(table)), Step::Key(key)) => table.get_mut(key),
            (Some(Value::Array(array)), Step::Index(index)) => array.get_mut(*index),
            _ => None,
        };
        if place.is_none() {
            return false;
        }
    }
    match (place, last) {
        (None, Step::Key(key)) => table.remove(key).is_some(),
        (Some(Value::Table(table)), Step::Key(key)) => table.remove(key).is_some(),
        (Some(Value::Array(array)), Step::Index(index)) if *index < array.len() => {
            array.remove(*index);
            true
        }
        _ => false,
    }
}
