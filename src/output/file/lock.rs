//! The lock of a file while it is written.

use std::{
    fs::{File, TryLockError},
    io,
    sync::Once,
    thread,
    time::Duration,
};

/// Locks a file until it is closed, so that two processes of rtmpull never write into it.
///
/// The lock is advisory: other programs can still read and write the file. On Windows it would keep
/// players from reading, so the file is not locked there. A file system without locks causes a warning.
///
/// # Errors
///
/// [`io::ErrorKind::ResourceBusy`] if another process holds the lock.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    lock_with(file, File::try_lock)
}

/// Locks a file that is read until it is closed, so that no process of rtmpull writes it; see [`lock`].
pub(crate) fn lock_shared(file: &File) -> io::Result<()> {
    lock_with(file, File::try_lock_shared)
}

fn lock_with(file: &File, try_lock: fn(&File) -> Result<(), TryLockError>) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    for _ in 0..MAX_RETRIES {
        match try_lock(file) {
            Err(TryLockError::WouldBlock) => thread::sleep(RETRY_INTERVAL),
            Err(TryLockError::Error(error)) => {
                WARN_ONCE.call_once(|| {
                    tracing::warn!(
                        "the file system cannot lock files ({error}); \
                         make sure that no other program writes the same file"
                    );
                });
                return Ok(());
            }
            Ok(()) => return Ok(()),
        }
    }
    let why = "another program is writing it";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
}

/// A process that was forked holds the locks of its parent until it executes its program: a lock that
/// was just given up may be held for a few milliseconds.
const MAX_RETRIES: u32 = 10;

const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// A recording with many segments locks many files of the same file system.
static WARN_ONCE: Once = Once::new();

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_released_soon_is_acquired() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().write(true).open(path.path()).unwrap();
        let (holder, other) = (open(), open());
        lock(&holder).unwrap();
        let error = lock(&other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(RETRY_INTERVAL * 2);
                drop(holder);
            });
            lock(&other).unwrap();
        });
    }
}
