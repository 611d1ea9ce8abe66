//! What governs requests beside the decision itself: who may do what and how much of it (virtual keys), the record of what
//! was decided, sent and answered, and what it says of a period.

pub mod audit;
pub mod keys;
pub mod report;

pub use keys::{AuthConfig, AuthMode, Caller, Estimate, Keys, Refused, Reservation, Role, Unauthenticated};
