//! Detects that the file of the streams has changed (`--watch`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The watched file.
#[derive(Debug)]
pub(super) struct WatchedFile {
    path: PathBuf,
    /// State of the file when it was last read.
    read: Option<Stamp>,
    /// State at the latest check.
    latest: Option<Stamp>,
}

/// What changes if a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl WatchedFile {
    /// Starts to watch a file that is about to be read.
    pub(super) fn new(path: &Path) -> Self {
        let stamp = Stamp::of(path);
        Self {
            path: path.to_owned(),
            read: stamp,
            latest: stamp,
        }
    }

    /// Returns whether the file has changed since it was read, and no longer changes: two checks in a row must
    /// find the same state, so that a file which is being written is not read.
    pub(super) fn has_changed(&mut self) -> bool {
        let stamp = Stamp::of(&self.path);
        let is_stable = stamp == self.latest;
        self.latest = stamp;
        let has_changed = is_stable && stamp.is_some() && stamp != self.read;
        if has_changed {
            self.read = stamp;
        }
        has_changed
    }
}

impl Stamp {
    /// Returns `None` if the file does not exist, as in the moment in which an editor replaces it.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            modified: found.modified().ok(),
            bytes: found.len(),
            inode: inode(&found),
        })
    }
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_and_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("streams.toml");
        fs::write(&path, "a").unwrap();
        let mut file = WatchedFile::new(&path);
        assert!(!file.has_changed());
        fs::write(&path, "ab").unwrap();
        assert!(!file.has_changed(), "it may still be written");
        fs::write(&path, "abc").unwrap();
        assert!(!file.has_changed());
        assert!(file.has_changed());
        assert!(!file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!([(); 3].map(|()| file.has_changed()) == [false; 3]);
        fs::write(&path, "new").unwrap();
        assert!(!file.has_changed());
        assert!(file.has_changed());
    }
}
