//! Faults of a request's fields, gathered so that the caller sees all of them at once.

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::status::{DOMAIN, Reason};
use crate::reference::NameError;

/// Violations that are told; HTTP/2 clients take no more than a few kilobytes of headers, where statuses travel.
const MAX_TOLD: usize = 20;

/// Longest description of one.
const MAX_DESCRIPTION_BYTES: usize = 200;

/// Collects violations while a request is converted.
#[derive(Debug, Default)]
pub(super) struct Violations {
    told: Vec<FieldViolation>,
    total: usize,
}

impl Violations {
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.total += 1;
        if self.told.len() < MAX_TOLD {
            let mut description: String = description.into();
            if description.len() > MAX_DESCRIPTION_BYTES {
                description.truncate(description.floor_char_boundary(MAX_DESCRIPTION_BYTES));
                description.push_str(" ...");
            }
            self.told.push(FieldViolation::new(field, description));
        }
    }

    /// Keeps the value, or notes why there is none.
    pub(super) fn take<T, E: std::fmt::Display>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// `Err` with all violations if there are any.
    pub(super) fn check(self) -> Result<(), Status> {
        if self.total == 0 { Ok(()) } else { Err(self.status()) }
    }

    /// The value if it is there and nothing was violated.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Status> {
        match value {
            Some(value) if self.total == 0 => Ok(value),
            _ => Err(self.status()),
        }
    }

    fn status(self) -> Status {
        let told = self.told.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
        let mut summary = told.collect::<Vec<_>>().join("; ");
        if self.total > self.told.len() {
            summary.push_str(&format!("; and {} more", self.total - self.told.len()));
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(Reason::InvalidField.as_str(), DOMAIN, std::collections::HashMap::new());
        details.set_bad_request(self.told);
        Status::with_error_details(tonic::Code::InvalidArgument, summary, details)
    }
}

/// A name out of a request's field.
pub(super) fn name<T>(
    violations: &mut Violations,
    field: &str,
    text: &str,
    new: fn(&str) -> Result<T, NameError>,
) -> Option<T> {
    violations.take(field, new(text))
}

/// A single violated field as a status.
pub(super) fn field(field: &str, description: impl Into<String>) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description);
    violations.status()
}

/// Fields of the message at `path`, with what is wrong with each.
pub(super) fn fields(path: &str, faults: &[(String, String)]) -> Status {
    let mut violations = Violations::default();
    for (field, what) in faults {
        violations.add(format!("{path}.{field}"), what.clone());
    }
    violations.status()
}
