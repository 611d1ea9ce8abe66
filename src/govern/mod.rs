//! Who may do what, and how much of it: virtual keys with their rights, limits and budgets.

pub mod keys;

pub use keys::{AuthConfig, AuthMode, Caller, Estimate, Keys, Refused, Reservation, Role, Unauthenticated};
