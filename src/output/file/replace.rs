//! Replaces a file by a new one in the same folder.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Gives `file` the owner and the permissions of the file that it replaces, as far as the system allows it.
pub(crate) fn keep_attributes(file: &File, before: &fs::Metadata) -> io::Result<()> {
    keep_owner(file, before);
    // Some file systems reject every change of permissions.
    if file.metadata()?.permissions() != before.permissions() {
        file.set_permissions(before.permissions())?;
    }
    Ok(())
}

/// Copies owner and group as far as the system permits; only root may change the owner.
#[cfg(unix)]
fn keep_owner(file: &File, before: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};

    let _ = fchown(file, None, Some(before.gid()));
    let _ = fchown(file, Some(before.uid()), None);
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) {}

/// Replaces the error of a file system that does not support `fsync` by a warning.
pub(crate) fn ignore_unsupported_sync(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            tracing::warn!(
                "the file system cannot sync files ({error}); a power failure may damage the file"
            );
            Ok(())
        }
        synced => synced,
    }
}

/// Syncs the directory of `file`, which makes a rename durable. Ignored if directories cannot be opened.
pub(crate) fn sync_directory_of(file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
}
