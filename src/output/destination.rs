//! Destination of a recording, and options of its files.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use jiff::Zoned;

use super::{
    naming::{Template, with_path},
    write_queue::queue_bytes,
};
use crate::core::flv::{Layout, Tag, head};

/// Destination of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, a FIFO or a device.
    Path(PathBuf),
    /// Files whose names contain their number or the time. They never replace existing files.
    Template(Template),
    /// No output: nothing is written.
    Discard,
}

impl Destination {
    /// The extension of the file name.
    pub fn extension(&self) -> Option<&OsStr> {
        match self {
            Self::Stdout | Self::Discard => None,
            Self::Path(path) => path.extension(),
            Self::Template(template) => template.extension(),
        }
    }

    /// Checks that the destination can probably be written: that an existing file can be opened, or that a
    /// new file can be created in its folder. Changes no existing file, and removes its own test file.
    ///
    /// `is_split` is whether more files follow the first one.
    pub(crate) fn check(&self, is_split: bool) -> io::Result<()> {
        match self {
            Self::Stdout | Self::Discard => Ok(()),
            Self::Path(path) => check_path(path, is_split).map_err(|error| with_path(path, &error)),
            Self::Template(template) => {
                let name = template.name(1, &Zoned::now());
                let checked = if template.has_directory_fields() {
                    ensure_creatable_in(existing_ancestor(&name))
                } else {
                    ensure_creatable_in(folder_of(&name))
                };
                checked.map_err(|error| with_path(&name, &error))
            }
        }
    }
}

fn check_path(path: &Path, is_split: bool) -> io::Result<()> {
    match fs::metadata(path) {
        // Opening a directory fails with a suitable error.
        Ok(found) if found.is_file() || found.is_dir() => {
            File::options().write(true).open(path)?;
            match is_split {
                true => ensure_creatable_in(folder_of(path)),
                false => Ok(()),
            }
        }
        // Opening a FIFO would block until it has a reader.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // The file will be created where the link points to.
            Ok(target) => check_path(&folder_of(path).join(target), is_split),
            Err(_) => ensure_creatable_in(folder_of(path)),
        },
        Err(error) => Err(error),
    }
}

/// Fails if no file can be created in `folder`.
///
/// Only creating one proves it: permission bits do not cover read-only file systems, access control lists and
/// folders of the kernel. The file gets a name of its own, because another recorder may just have created the
/// output.
fn ensure_creatable_in(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".rtmpull-{}", process::id()));
    match File::create_new(&probe) {
        Ok(file) => {
            drop(file);
            fs::remove_file(&probe)
        }
        // A process with the same number in another container is probing too.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let folder_name = folder.display();
            let why = match fs::metadata(folder) {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                    format!("the folder {folder_name} does not exist")
                }
                _ => format!("cannot create a file in {folder_name}: {error}"),
            };
            Err(io::Error::new(error.kind(), why))
        }
    }
}

/// Returns the folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Returns the nearest existing path above a file whose folders are created when they are needed.
fn existing_ancestor(path: &Path) -> &Path {
    let mut ancestors = path.ancestors().skip(1);
    let existing = ancestors.find(|path| path.symlink_metadata().is_ok());
    existing.unwrap_or_else(|| Path::new("."))
}

/// Whether the path is a FIFO, a device or a socket. It is then written as a pipe: without seeking,
/// truncation or index.
pub(super) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Container format of a file or a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// FLV, which holds every stream.
    #[default]
    Flv,
    /// MP4, in fragments while it grows.
    Mp4,
}

impl Format {
    /// Returns the format that the extension of a file name selects.
    pub fn by_extension(extension: &OsStr) -> Option<Self> {
        let extension = extension.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "flv" => Some(Self::Flv),
            "mp4" | "m4v" | "m4a" | "mov" => Some(Self::Mp4),
            _ => None,
        }
    }

    /// Returns the size of a message of `payload` bytes in the container; for MP4 an upper limit.
    pub(super) fn message_bytes(self, payload: usize) -> u64 {
        match self {
            Self::Flv => Tag::length(payload),
            Self::Mp4 => (payload as u64).saturating_add(MP4_MESSAGE_BYTES),
        }
    }

    /// Returns the largest size of the first bytes, without the fields of the server.
    pub(super) fn head_bytes(self) -> u64 {
        match self {
            Self::Flv => head::LENGTH as u64,
            Self::Mp4 => MP4_HEAD_BYTES,
        }
    }
}

/// Size of the entries of a frame: 16 bytes in its fragment, up to 24 in the tables of the finished file, and
/// its share of the boxes of a fragment.
const MP4_MESSAGE_BYTES: u64 = 64;

/// Size of all boxes that do not depend on the number of frames.
const MP4_HEAD_BYTES: u64 = 4096;

/// Options of the files of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// Container format.
    pub format: Format,
    /// Whether the head of a file is updated in place, and an MP4 file is finished with sample tables.
    pub layout: Layout,
    /// Whether an MP4 file has an HLS playlist beside it.
    pub has_playlist: bool,
    /// Whether the tables of a finished MP4 file are moved to its start.
    pub faststart: bool,
    /// Interval at which a file is synced; `None` leaves that to the system.
    pub sync_interval: Option<Duration>,
    /// Bytes that are collected for one write, see [`queue_bytes`].
    pub queue_bytes: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            format: Format::Flv,
            layout: Layout::Seekable,
            has_playlist: false,
            faststart: false,
            sync_interval: Some(Duration::from_secs(10)),
            queue_bytes: queue_bytes(1),
        }
    }
}

/// Options of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipeOptions {
    /// Container format.
    pub format: Format,
    /// Length of the fragments of MP4 in milliseconds. With 0, each frame is a fragment.
    pub fragment_ms: u64,
}

impl Default for PipeOptions {
    fn default() -> Self {
        Self {
            format: Format::Flv,
            fragment_ms: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &Path) -> io::Result<()> {
        match Template::parse(path) {
            Some(template) => Destination::Template(template),
            None => Destination::Path(path.to_owned()),
        }
        .check(true)
    }

    #[test]
    fn a_check_leaves_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["out.flv", "cam-%d.flv", "%Y/%m/cam.flv", "%Y-%m/x/cam.flv"] {
            check(&inside(name)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(inside("old.flv"), "old").unwrap();
        check(&inside("old.flv")).unwrap();
        assert_eq!(fs::read(inside("old.flv")).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn missing_folders_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for name in ["out.flv", "cam-%d.flv"] {
            let path = missing.join(name);
            let error = check(&path).unwrap_err().to_string();
            let expected = format!("the folder {} does not exist", missing.display());
            assert!(error.ends_with(&expected), "{error}");
        }
        // Folders with a field are created later, with their parents.
        check(&missing.join("%Y/cam.flv")).unwrap();
        fs::write(&missing, "a file").unwrap();
        for name in ["out.flv", "cam-%d.flv", "%Y/cam.flv"] {
            assert!(check(&missing.join(name)).is_err(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_checked_at_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link.flv");
        std::os::unix::fs::symlink("new.flv", &link).unwrap();
        check(&link).unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("missing/new.flv", &link).unwrap();
        let error = check(&link).unwrap_err().to_string();
        assert!(error.ends_with("missing does not exist"), "{error}");
    }
}
