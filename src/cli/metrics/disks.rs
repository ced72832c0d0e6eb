//! Free space of the disks that the streams write to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::cli::report::status::Registry;

/// Free bytes by disk. A thread measures them, because a network disk that hangs blocks the measurement.
#[derive(Debug, Default)]
pub(super) struct Disks(Mutex<BTreeMap<PathBuf, Measured>>);

#[derive(Debug, Clone, Copy)]
struct Measured {
    free_bytes: u64,
    at: Instant,
}

impl Disks {
    /// Returns the mount point and the free bytes of each disk. Outdated values are left out: a disk that hangs stops
    /// the measurement of all disks.
    pub(super) fn free_bytes(&self, now: Instant) -> Vec<(String, u64)> {
        let disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = disks
            .iter()
            .filter(|(_, measured)| now.saturating_duration_since(measured.at) < MAX_AGE);
        recent
            .map(|(disk, measured)| (disk.to_string_lossy().into_owned(), measured.free_bytes))
            .collect()
    }

    /// Measures the disks of all current files regularly. Never returns.
    pub(super) fn keep_measuring(&self, registry: &Registry) {
        loop {
            let mut folders = Vec::new();
            registry.for_each(|stream| {
                let file = stream.current_file.as_deref().map(Path::new);
                let folder = file.and_then(Path::parent).map(Path::to_owned);
                folders.extend(folder);
            });
            folders.sort();
            folders.dedup();
            for folder in &folders {
                self.measure(folder);
            }
            thread::sleep(match folders.is_empty() {
                true => FIRST_INTERVAL,
                false => INTERVAL,
            });
        }
    }

    fn measure(&self, folder: &Path) {
        let folder = match folder == Path::new("") {
            true => Path::new("."),
            false => folder,
        };
        let Ok(folder) = folder.canonicalize() else {
            return;
        };
        let Ok(free_bytes) = fs4::available_space(&folder) else {
            return;
        };
        let measured = Measured {
            free_bytes,
            at: Instant::now(),
        };
        let disk = mount_point(&folder).to_owned();
        let mut disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disks.insert(disk, measured);
    }
}

/// Returns the highest folder on the same disk as `folder`.
#[cfg(unix)]
fn mount_point(folder: &Path) -> &Path {
    use std::os::unix::fs::MetadataExt;

    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let own = device(folder);
    let same_disk = folder.ancestors().take_while(|path| device(path) == own);
    same_disk.last().unwrap_or(folder)
}

/// Returns the root of the drive of `folder`.
#[cfg(not(unix))]
fn mount_point(folder: &Path) -> &Path {
    folder.ancestors().last().unwrap_or(folder)
}

/// Time between two measurements.
const INTERVAL: Duration = Duration::from_secs(10);

/// Time between two checks for the first file.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a measurement is outdated.
const MAX_AGE: Duration = Duration::from_secs(60);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_same_disk_have_one_entry() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let disks = Disks::default();
        for path in [
            folder.path(),
            &inner,
            Path::new("/proc"),
            Path::new("/missing"),
        ] {
            disks.measure(path);
        }
        let now = Instant::now();
        let measured = disks.free_bytes(now);
        assert_eq!(measured.len(), 2, "{measured:?}");
        assert!(measured.iter().any(|(disk, _)| disk == "/proc"));
        let other = measured.iter().find(|(disk, _)| disk != "/proc").unwrap();
        assert!(folder.path().starts_with(&other.0) && other.1 > 0);
        assert!(disks.free_bytes(now + MAX_AGE).is_empty(), "outdated");
    }
}
