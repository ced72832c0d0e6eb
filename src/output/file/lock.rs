//! The lock of a file that is being written.

use std::{
    fs::{File, TryLockError},
    io,
};

/// Locks a file for as long as it is open, so that no two programs of ours write into it; an error says
/// that another one does. Where files cannot be locked, they are not.
///
/// Nobody else is kept from it. Only Windows would keep a player from reading a locked file, so that
/// nothing is locked there.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    match if cfg!(unix) { file.try_lock() } else { Ok(()) } {
        Err(TryLockError::WouldBlock) => {
            let why = "another program is writing it";
            Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
        }
        Err(TryLockError::Error(error)) => {
            tracing::debug!("the file cannot be locked: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
