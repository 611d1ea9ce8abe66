//! A load generator: sends prompts to a running server at times that are fixed in advance, and reports what came back.
//!
//! It speaks HTTP/2 itself and reads of an answer only what it counts: the generator shares the machine with the server
//! in most measurements, and must cost little beside it. Pure: arrivals, mix, tally, report, search.

mod alarm;
mod arrivals;
mod call;
mod closed_loop;
mod code;
mod error;
mod generator;
mod lane;
mod messages;
mod mix;
mod open_loop;
mod profile;
mod prompt_file;
mod prompts;
mod report;
mod search;
mod sequence;
mod summary;
mod table;
mod tally;
mod target;
mod times;
mod worker;

pub use call::{Call, Method};
pub use error::Error;
pub use generator::{Generator, Progress};
pub use profile::{Extent, Pace, Profile};
pub use prompts::Prompts;
pub use report::{Quantiles, Report};
pub use search::{Search, Step, Verdict, verdict};
pub use table::{render, render_search};
pub use target::Target;
