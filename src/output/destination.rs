//! Destination of a recording, and options of its files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::naming::{Template, with_path};
use crate::core::flv::Layout;

/// Destination of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, a FIFO or a device.
    Path(PathBuf),
    /// Files whose names contain their number or the time. They never replace existing files.
    Template(Template),
}

impl Destination {
    /// Checks that the destination can probably be written: that an existing file can be opened, or that
    /// the directory of a new file exists. Does not create or change anything.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Self::Path(path) = self else {
            return Ok(());
        };
        let checked = match fs::metadata(path) {
            // Opening a directory fails with a suitable error.
            Ok(found) if found.is_file() || found.is_dir() => {
                File::options().write(true).open(path).map(drop)
            }
            // Opening a FIFO would block until it has a reader.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
                Some(directory) if directory != Path::new("") => fs::metadata(directory).map(drop),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        checked.map_err(|error| with_path(path, &error))
    }
}

/// Whether the path is a FIFO, a device or a socket. It is then written as a pipe: without seeking,
/// truncation or index.
pub(super) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Options of the files of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// Whether the head of a file is updated in place.
    pub layout: Layout,
    /// Interval at which a file is synced; `None` leaves that to the system.
    pub sync_interval: Option<Duration>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            layout: Layout::Seekable,
            sync_interval: Some(Duration::from_secs(10)),
        }
    }
}
