//! Free space on the disk of a recording.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytesize::ByteSize;

use super::slow_disk::disk_of;

/// Checks that the disk keeps enough free space (`--min-free`).
#[derive(Debug)]
pub(in crate::output) struct FreeSpace {
    directory: PathBuf,
    required: u64,
    /// Time of the last check, and the size of the recording then.
    checked: Option<(Instant, u64)>,
    has_failed: bool,
}

impl FreeSpace {
    /// Requires `required` free bytes on the disk of `output`.
    pub(in crate::output) fn new(output: &Path, required: u64) -> Self {
        Self {
            directory: existing_directory(output),
            required,
            checked: None,
            has_failed: false,
        }
    }

    /// Checks the free space every two seconds, and more often if the recording grows fast.
    ///
    /// `pending` is the size of the data that finishes the file, which must fit as well.
    ///
    /// # Errors
    ///
    /// Fails if too little space is free. A file system that does not report its free space passes.
    pub(in crate::output) fn check(
        &mut self,
        now: Instant,
        written: u64,
        pending: u64,
    ) -> io::Result<()> {
        let is_due = self.checked.is_none_or(|(at, before)| {
            now.saturating_duration_since(at) >= INTERVAL
                || written.saturating_sub(before) >= MAX_GROWTH.min(self.required / 4)
        });
        if !is_due {
            return Ok(());
        }
        self.checked = Some((now, written));
        match fs4::available_space(&self.directory) {
            Ok(free) if free < self.required.saturating_add(pending) => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "only {} free on {}; --min-free requires {}{}",
                    ByteSize(free),
                    disk_of(&self.directory.join("file")),
                    ByteSize(self.required),
                    match pending {
                        0 => String::new(),
                        _ => format!(", and the end of the MP4 file {}", ByteSize(pending)),
                    }
                ),
            )),
            Ok(_) => Ok(()),
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::warn!(
                        "cannot check the free space, --min-free has no effect: {error}"
                    );
                }
                Ok(())
            }
        }
    }
}

/// Returns the nearest directory above `output` that exists.
fn existing_directory(output: &Path) -> PathBuf {
    let mut directories = output.ancestors().skip(1);
    let found = directories.find(|directory| directory.is_dir());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Bytes that may be written between two checks.
const MAX_GROWTH: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_free_space_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("not/created/yet.flv");
        let now = Instant::now();
        let error = FreeSpace::new(&output, u64::MAX)
            .check(now, 0, 0)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(FreeSpace::new(&output, 1).check(now, 0, 0).is_ok());
        let error = FreeSpace::new(&output, 1).check(now, 0, u64::MAX - 1);
        let text = error.unwrap_err().to_string();
        assert!(text.contains(", and the end of the MP4 file "), "{text}");
        assert_eq!(existing_directory(&output), folder.path());
        assert_eq!(existing_directory(Path::new("out.flv")), Path::new("."));
    }

    #[test]
    fn the_disk_is_checked_by_time_and_by_growth() {
        let now = Instant::now();
        let mut free_space = FreeSpace::new(Path::new("out.flv"), 1 << 30);
        free_space.directory = "/nowhere/at/all".into();
        let mut is_checked = |at: Duration, written| {
            let before = free_space.checked;
            free_space.check(now + at, written, 0).unwrap();
            free_space.checked != before
        };
        assert!(is_checked(Duration::ZERO, 0));
        assert!(!is_checked(
            INTERVAL - Duration::from_millis(1),
            MAX_GROWTH - 1
        ));
        assert!(is_checked(INTERVAL, MAX_GROWTH - 1));
        assert!(!is_checked(INTERVAL, MAX_GROWTH));
        assert!(is_checked(INTERVAL, 2 * MAX_GROWTH));
    }
}
