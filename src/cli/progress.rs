//! How far a command is, on standard error: a bar on a terminal; elsewhere a plain line at the start, every ten
//! seconds and at the end, so that a log stays readable.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressFinish, ProgressStyle};

use crate::model::{Progress, Report, SharedProgress};

const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Smaller files are done before a bar is drawn.
const WORTH_A_BAR_BYTES: u64 = 1 << 20;
const SPIN_EVERY: Duration = Duration::from_millis(120);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Items,
}

/// One piece of work. Cheap to clone; dropping the last clone takes it off the terminal.
#[derive(Clone)]
pub struct Bar {
    face: Face,
}

#[derive(Clone)]
enum Face {
    Terminal(ProgressBar),
    Plain(Arc<Mutex<Plain>>),
}

impl Bar {
    /// Begins to show work of `total` units; `None` shows a spinner with what is done and the time that has passed.
    pub fn new(label: &str, unit: Unit, total: Option<u64>) -> Self {
        if std::io::stderr().is_terminal() {
            return Self { face: Face::Terminal(terminal_bar(label, unit, total)) };
        }
        let plain =
            Plain { label: label.to_owned(), unit, total, done: 0, begun: Instant::now(), said: Duration::ZERO };
        note(&format!("{label} ..."));
        Self { face: Face::Plain(Arc::new(Mutex::new(plain))) }
    }

    /// Shows that `done` units are done, from the beginning. Cheap: may be called for every small step.
    pub fn set(&self, done: u64) {
        match &self.face {
            Face::Terminal(bar) => bar.set_position(done),
            Face::Plain(plain) => {
                let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                let elapsed = plain.begun.elapsed();
                if let Some(line) = plain.advance(done, elapsed) {
                    note(&line);
                }
            }
        }
    }

    /// Ends the work: the bar goes, a plain log gets its last line.
    pub fn finish(&self) {
        match &self.face {
            Face::Terminal(bar) => bar.finish_and_clear(),
            Face::Plain(plain) => {
                let plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                note(&plain.line(plain.begun.elapsed()));
            }
        }
    }

    /// Shows one line above the bar.
    pub fn note(&self, line: &str) {
        match &self.face {
            Face::Terminal(bar) => bar.suspend(|| note(line)),
            Face::Plain(_) => note(line),
        }
    }
}

fn terminal_bar(label: &str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let template = match (unit, total) {
        (Unit::Bytes, Some(_)) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        (Unit::Items, Some(_)) => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta} left",
        (Unit::Bytes, None) => "{spinner} {msg} {bytes} {elapsed}",
        (Unit::Items, None) => "{spinner} {msg} {human_pos} {elapsed}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    // A template is fixed text; were it wrong, the library's own style would still show the work.
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    let bar = bar.with_message(label.to_owned()).with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(SPIN_EVERY);
    bar
}

/// One line to standard error. It tells of work and is no part of it: what cannot be written is not missed.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The face for logs; takes time as an argument.
struct Plain {
    label: String,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    /// When it last said something, from the beginning.
    said: Duration,
}

impl Plain {
    fn advance(&mut self, done: u64, elapsed: Duration) -> Option<String> {
        self.done = done;
        if elapsed < self.said + PLAIN_EVERY {
            return None;
        }
        self.said = elapsed;
        Some(self.line(elapsed))
    }

    fn line(&self, elapsed: Duration) -> String {
        let Self { label, total, done, .. } = self;
        let amount = |count: u64| Amount { unit: self.unit, count };
        let time = HumanDuration(elapsed);
        match total {
            Some(total) => {
                let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(100);
                format!("{label}: {} of {} ({percent} %) after {time}", amount(*done), amount(*total))
            }
            None => format!("{label}: {} after {time}", amount(*done)),
        }
    }
}

struct Amount {
    unit: Unit,
    count: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Bytes => HumanBytes(self.count).fmt(f),
            Unit::Items => HumanCount(self.count).fmt(f),
        }
    }
}

/// Draws what the work on a model reports.
#[derive(Default)]
pub struct ModelProgress {
    bar: Mutex<Option<Bar>>,
}

impl ModelProgress {
    pub fn shared() -> SharedProgress {
        Arc::new(Self::default())
    }
}

impl Progress for ModelProgress {
    fn report(&self, report: Report<'_>) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match (report, bar.as_ref()) {
            (Report::Begun { total_bytes: Some(bytes), .. }, _) if bytes < WORTH_A_BAR_BYTES => *bar = None,
            (Report::Begun { label, total_bytes }, _) => *bar = Some(Bar::new(label, Unit::Bytes, total_bytes)),
            (Report::Done { bytes }, Some(bar)) => bar.set(bytes),
            (Report::Ended, Some(shown)) => {
                shown.finish();
                *bar = None;
            }
            (Report::Note(line), Some(bar)) => bar.note(line),
            (Report::Note(line), None) => note(line),
            (Report::Done { .. } | Report::Ended, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(unit: Unit, total: Option<u64>) -> Plain {
        Plain { label: "x".into(), unit, total, done: 0, begun: Instant::now(), said: Duration::ZERO }
    }

    #[test]
    fn a_log_gets_a_line_every_ten_seconds() {
        let mut plain = plain(Unit::Bytes, Some(4 << 20));
        let at = Duration::from_secs;
        assert_eq!(plain.advance(1, at(9)), None);
        assert_eq!(plain.advance(2 << 20, at(10)).unwrap(), "x: 2.00 MiB of 4.00 MiB (50 %) after 10 seconds");
        assert_eq!(plain.advance(3 << 20, at(19)), None);
        assert!(plain.advance(3 << 20, at(21)).is_some());
    }

    #[test]
    fn lines_fit_what_is_known() {
        assert_eq!(plain(Unit::Items, None).line(Duration::from_secs(3)), "x: 0 after 3 seconds");
        assert_eq!(plain(Unit::Items, Some(0)).line(Duration::from_secs(3)), "x: 0 of 0 (100 %) after 3 seconds");
        let many = Plain { done: 15_000, ..plain(Unit::Items, Some(30_000)) };
        assert_eq!(many.line(Duration::from_secs(60)), "x: 15,000 of 30,000 (50 %) after 60 seconds");
    }
}
