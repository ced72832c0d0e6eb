//! The free room on the disk that an output is on.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytesize::ByteSize;

/// Watches that enough room stays free.
#[derive(Debug)]
pub(in crate::output) struct FreeSpace {
    folder: PathBuf,
    least: u64,
    /// When it was looked at last, and how many bytes the output had.
    looked: Option<(Instant, u64)>,
    has_failed: bool,
}

impl FreeSpace {
    /// `least` bytes are to stay free where `output` is.
    pub(in crate::output) fn new(output: &Path, least: u64) -> Self {
        Self {
            folder: folder_of(output),
            least,
            looked: None,
            has_failed: false,
        }
    }

    /// Looks every few seconds, and more often where the output grows fast. An error where too little
    /// is left; a disk that does not tell has enough.
    pub(in crate::output) fn check(&mut self, now: Instant, written: u64) -> io::Result<()> {
        let is_due = self.looked.is_none_or(|(at, before)| {
            now.saturating_duration_since(at) >= INTERVAL
                || written.saturating_sub(before) >= GROWTH.min(self.least / 4)
        });
        if !is_due {
            return Ok(());
        }
        self.looked = Some((now, written));
        match fs4::available_space(&self.folder) {
            Ok(free) if free < self.least => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "{} are free, {} are to stay so",
                    ByteSize(free),
                    ByteSize(self.least)
                ),
            )),
            Ok(_) => Ok(()),
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::warn!("the free room is not known: {error}");
                }
                Ok(())
            }
        }
    }
}

/// The nearest folder that is there.
fn folder_of(output: &Path) -> PathBuf {
    let mut folders = output.ancestors().skip(1);
    let found = folders.find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// How often the disk is asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// How much may be written before it is asked again.
const GROWTH: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_an_error_and_enough_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("not/there/yet.flv");
        let now = Instant::now();
        let error = FreeSpace::new(&output, u64::MAX).check(now, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(FreeSpace::new(&output, 1).check(now, 0).is_ok());
        assert_eq!(folder_of(&output), folder.path());
        assert_eq!(folder_of(Path::new("out.flv")), Path::new("."));
    }

    #[test]
    fn the_disk_is_asked_by_time_and_by_growth() {
        let now = Instant::now();
        let mut room = FreeSpace::new(Path::new("out.flv"), 1 << 30);
        room.folder = "/nowhere/at/all".into();
        let mut is_asked = |at: Duration, written| {
            let before = room.looked;
            room.check(now + at, written).unwrap();
            room.looked != before
        };
        assert!(is_asked(Duration::ZERO, 0));
        assert!(!is_asked(INTERVAL - Duration::from_millis(1), GROWTH - 1));
        assert!(is_asked(INTERVAL, GROWTH - 1));
        assert!(!is_asked(INTERVAL, GROWTH));
        assert!(is_asked(INTERVAL, 2 * GROWTH));
    }
}
