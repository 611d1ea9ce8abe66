//! The process as the system sees it, under the names that every Prometheus client uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Gauge, IntGauge, Result};

use super::book::Book;

/// Linux tells times in hundredths of a second, on every architecture that this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

pub(super) struct Process {
    resident: IntGauge,
    cpu: Counter,
}

impl Process {
    pub(super) fn new(book: &Book) -> Result<Self> {
        let resident = book.gauge("process_resident_memory_bytes", "Resident memory in bytes.")?;
        let cpu = book.sum("process_cpu_seconds_total", "User and system CPU time in seconds.")?;
        let started: Gauge =
            book.ratio("process_start_time_seconds", "When the process started, in seconds since the Unix epoch.")?;
        // Where the system does not tell it, now is near enough: the process has only just begun.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.set(start_time().unwrap_or(now).as_secs_f64());
        Ok(Self { resident, cpu })
    }

    /// Leaves what the system does not tell as it was.
    pub(super) fn read(&self) {
        if let Some(bytes) = read("/proc/self/status").and_then(|status| resident_bytes(&status)) {
            self.resident.set(bytes);
        }
        if let Some(time) = read("/proc/self/stat").and_then(|stat| cpu_time(&stat)) {
            self.cpu.inc_by((time.as_secs_f64() - self.cpu.get()).max(0.0));
        }
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn start_time() -> Option<Duration> {
    let booted: u64 = read("/proc/stat")?.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    // Field 22 of proc(5).
    let ticks: u32 = field(&read("/proc/self/stat")?, 22)?.parse().ok()?;
    Some(Duration::from_secs(booted) + TICK * ticks)
}

fn resident_bytes(status: &str) -> Option<i64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"))?;
    kilobytes.trim().parse::<i64>().ok()?.checked_mul(1024)
}

/// Fields 14 and 15 of proc(5): user and system time.
fn cpu_time(stat: &str) -> Option<Duration> {
    let ticks = |number: usize| field(stat, number)?.parse::<u32>().ok();
    Some(TICK * ticks(14)?.checked_add(ticks(15)?)?)
}

/// A field of /proc/self/stat, counted from 1. The second is the program's name, which may hold anything.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 99 0 0 0 250 50 0 0 20 0 4 0 12345 1000000 500";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(field(stat, 22), Some("12345"));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        for odd in ["", "7 (a", "7 (a) S 1", "VmRSS: many kB"] {
            assert_eq!((cpu_time(odd), resident_bytes(odd)), (None, None), "{odd}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_started_a_short_while_ago() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.abs_diff(start_time().unwrap());
        assert!(age < Duration::from_secs(3_600), "{age:?}");
    }
}
