//! What governs requests beside the decision itself: the record of what was decided, sent and answered.

pub mod audit;
