//! Warnings about slow disks: one for each disk, whose repetitions are counted.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The disks of this process that were slow, by name. Hundreds of recordings can share a disk.
static SLOW: Mutex<BTreeMap<String, Episode>> = Mutex::new(BTreeMap::new());

/// A time in which a disk is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Episode {
    since: Timestamp,
    latest: Instant,
    /// Number of slow operations after the one that was logged.
    more: u32,
    longest: Duration,
}

/// An operation on a file, with the time after which it counts as slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::output) enum Operation {
    /// Data was passed to the system.
    Write,
    /// Data was passed to the disk.
    Sync,
}

impl Operation {
    fn limit(self) -> Duration {
        match self {
            Self::Write => Duration::from_secs(1),
            Self::Sync => Duration::from_secs(5),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Write => "a write to",
            Self::Sync => "a sync of",
        }
    }
}

/// Logs an operation on `file` that took too long, unless the disk is known to be slow.
pub(in crate::output) fn note(operation: Operation, file: &Path, took: Duration) {
    if took < operation.limit() {
        return;
    }
    // Before the lock is taken: another disk may hang.
    let disk = disk_of(file);
    let mut slow = SLOW.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, wall) = (Instant::now(), Timestamp::now());
    let known = slow.get_mut(&disk).filter(|episode| episode.continues(now));
    if let Some(episode) = known {
        episode.add(now, took);
        return;
    }
    let since = wall.checked_sub(took).unwrap_or(wall);
    let file = file.display();
    let (name, seconds) = (operation.name(), took.as_secs_f64());
    tracing::warn!("{disk} has been slow since {since:.0}: {name} {file} took {seconds:.1} s");
    let former = slow.insert(disk.clone(), Episode::new(since, now, took));
    report(&disk, former);
}

/// Logs how often the disks were slow after the warnings. Call it at the end of the process.
pub fn report_slow_disks() {
    let mut slow = SLOW.lock().unwrap_or_else(PoisonError::into_inner);
    for (disk, episode) in std::mem::take(&mut *slow) {
        report(&disk, Some(episode));
    }
}

fn report(disk: &str, episode: Option<Episode>) {
    if let Some(Episode {
        since,
        more: more @ 1..,
        longest,
        ..
    }) = episode
    {
        let seconds = longest.as_secs_f64();
        tracing::warn!(
            "{disk} was slow {more} more times since {since:.0}, for up to {seconds:.1} s"
        );
    }
}

impl Episode {
    fn new(since: Timestamp, now: Instant, took: Duration) -> Self {
        Self {
            since,
            latest: now,
            more: 0,
            longest: took,
        }
    }

    fn continues(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.latest) < QUIET_PERIOD
    }

    fn add(&mut self, now: Instant, took: Duration) {
        self.latest = now;
        self.more = self.more.saturating_add(1);
        self.longest = self.longest.max(took);
    }
}

/// Returns the name of the disk of `file`: the device and the folder at which it is mounted, if the system lists them.
pub(in crate::output) fn disk_of(file: &Path) -> String {
    let folder = existing_folder(file);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    match mount_of(&folder, &mounts) {
        Some((device, mount)) => format!("disk {device} at {}", mount.display()),
        None => format!("the disk of {}", folder.display()),
    }
}

/// Returns the nearest folder above `file` that exists, as an absolute path.
fn existing_folder(file: &Path) -> PathBuf {
    let mut folders = file.ancestors().skip(1);
    let folder = folders.find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        folder.canonicalize().ok()
    });
    folder.unwrap_or_else(|| PathBuf::from("."))
}

/// Returns the device and the folder of the last mount that contains `folder`. A space in a name is `\040`.
fn mount_of<'a>(folder: &Path, mounts: &'a str) -> Option<(&'a str, PathBuf)> {
    let entries = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, mount) = (fields.next()?, fields.next()?);
        let mount = PathBuf::from(mount.replace(r"\040", " "));
        folder.starts_with(&mount).then_some((device, mount))
    });
    entries.max_by_key(|(_, mount)| mount.components().count())
}

/// Time without a slow operation after which the next one is logged again.
const QUIET_PERIOD: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_is_the_innermost_mount_of_the_folder() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
            /dev/sdb1 /rec\\040ords ext4 rw 0 0\n";
        let disk = |folder: &str| mount_of(Path::new(folder), mounts).map(|(device, _)| device);
        assert_eq!(disk("/home/user"), Some("/dev/vda"));
        assert_eq!(disk("/run/rec"), Some("tmpfs"));
        assert_eq!(disk("/rec ords/today"), Some("/dev/sdb1"));
        assert_eq!(disk("/running"), Some("/dev/vda"));
        assert_eq!(mount_of(Path::new("/a"), ""), None);
    }

    #[test]
    fn repetitions_are_counted_until_a_quiet_period() {
        let now = Instant::now();
        let mut episode = Episode::new(Timestamp::UNIX_EPOCH, now, Duration::from_secs(2));
        assert!(episode.continues(now + QUIET_PERIOD / 2));
        for seconds in [3, 9, 4] {
            episode.add(now + QUIET_PERIOD / 2, Duration::from_secs(seconds));
        }
        assert_eq!((episode.more, episode.longest), (3, Duration::from_secs(9)));
        assert!(episode.continues(now + QUIET_PERIOD));
        assert!(!episode.continues(now + QUIET_PERIOD * 2));
    }

    #[test]
    fn missing_folders_lie_on_the_disk_of_the_next_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        assert_eq!(existing_folder(&path.join("not/created/yet.flv")), path);
        assert!(existing_folder(Path::new("out.flv")).is_absolute());
    }
}
