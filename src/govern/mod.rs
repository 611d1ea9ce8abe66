//! What governs requests beside the decision itself: the record of what was decided, sent and answered, and what it says
//! of a period.

pub mod audit;
pub mod report;
