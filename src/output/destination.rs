//! Where an output goes, and how its files are written.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::naming::Template;
use crate::core::flv::Layout;

/// Where the stream is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, a FIFO or a device.
    Path(PathBuf),
    /// Files that are called after their number or their time. None takes the place of another.
    Template(Template),
}

impl Destination {
    /// Whether it looks as if it could be written: of a file that is there the permission is asked for, of
    /// one that is not yet only the folder is looked at. Nothing is created or changed.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Self::Path(path) = self else {
            return Ok(());
        };
        let checked = match fs::metadata(path) {
            // A folder says what it is.
            Ok(found) if found.is_file() || found.is_dir() => {
                File::options().write(true).open(path).map(drop)
            }
            // Opening a FIFO waits for its reader.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
                Some(folder) if folder != Path::new("") => fs::metadata(folder).map(drop),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        checked.map_err(|error| naming(path, &error))
    }
}

/// The same error, which says what it is about.
pub(super) fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// Whether its head is rewritten.
    pub layout: Layout,
    /// How often it is brought to the disk; `None` leaves that to the system.
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
