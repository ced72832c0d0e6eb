//! Measuring code shared by the benches: words of the command line, and CPU time and memory of processes as Linux
//! reports them in /proc.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each bench that includes this module uses only some of it"
)]

use std::{env, fs};

/// Returns whether the run is short: from `cargo test --benches`, or by hand without `--bench`.
pub fn is_quick() -> bool {
    !env::args().any(|argument| argument == "--bench")
}

/// Returns whether this measurement was selected, or none was.
pub fn is_wanted(word: &str) -> bool {
    let mut words = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .peekable();
    words.peek().is_none() || words.any(|wanted| wanted == word)
}

/// Returns the middle value, or NaN if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the values in ascending order.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// CPU time in seconds, which Linux counts in units of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
}

impl CpuTime {
    /// Returns the time of a process so far, or `None` if it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        // Fields 14 and 15 of /proc/PID/stat.
        Self::read(&pid.to_string(), 14)
    }

    /// Returns the time of all finished children of this process.
    pub fn of_finished_children() -> Self {
        // Fields 16 and 17 of /proc/PID/stat.
        Self::read("self", 16).expect("Linux provides /proc")
    }

    /// Returns the sum of user and system time.
    pub fn sum(&self) -> f64 {
        self.user + self.system
    }

    /// Reads two fields of /proc/PID/stat, where `field` is the number of the first one.
    fn read(pid: &str, field: usize) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, which is field 2, may contain spaces.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(field - 3);
        let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self {
            user: seconds()?,
            system: seconds()?,
        })
    }
}

/// Returns the peak resident memory of a process so far, in MiB, or `None` if it has ended.
pub fn peak_memory_mib(pid: u32) -> Option<f64> {
    memory_mib(pid, "status", "VmHWM:")
}

/// Returns the resident memory of a process in MiB, with its part of the memory that it shares with others.
pub fn proportional_memory_mib(pid: u32) -> Option<f64> {
    memory_mib(pid, "smaps_rollup", "Pss:")
}

fn memory_mib(pid: u32, file: &str, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// USER_HZ, which is 100 for user space on every Linux machine.
const TICKS_PER_SECOND: f64 = 100.0;
