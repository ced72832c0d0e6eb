//! Facts about the process from the operating system.

use std::fs;

/// CPU time of the process in seconds; `None` if the system does not report it.
pub(super) fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};

        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// Memory of the process in RAM, in bytes; `None` if the system does not report it.
pub(super) fn resident_bytes() -> Option<u64> {
    #[cfg(unix)]
    {
        // proc(5): size, resident, shared, …, in pages.
        let text = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }
    #[cfg(not(unix))]
    None
}

/// Number of open files and sockets; `None` if the system does not report it.
pub(super) fn open_files() -> Option<u64> {
    let folders = ["/proc/self/fd", "/dev/fd"];
    let mut lists = folders
        .into_iter()
        .filter_map(|path| fs::read_dir(path).ok());
    // The list itself is open while it is read.
    Some((lists.next()?.count() as u64).saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_system_reports_plausible_values() {
        let before = open_files().unwrap();
        let files: Vec<_> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files at the same time.
        assert!(open_files().unwrap() > before.saturating_sub(40) + 10);
        drop(files);
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(cpu_seconds().unwrap() > 0.0);
    }
}
