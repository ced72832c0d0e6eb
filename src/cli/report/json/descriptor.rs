//! File descriptors that the caller has opened, by number.
//!
//! Safe code cannot take ownership of a descriptor by its number. So the descriptor is opened again by its
//! name in `/dev/fd`, which works for files, devices and pipes, but not for sockets. Standard output and
//! standard error are duplicated instead.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};

use super::event::EventWriter;

/// Writes events to descriptor `number`.
pub(in crate::cli) fn to_descriptor(number: u32, has_media_on_stdout: bool) -> Result<EventWriter> {
    let option = format!("--progress-fd {number}");
    let events = match number {
        1 if has_media_on_stdout => bail!("{option}: the recording goes to standard output"),
        1 => EventWriter::start(stdout),
        2 => bail!("{option}: --progress json writes to standard error"),
        _ => {
            #[cfg(unix)]
            {
                let path = opened::path(number).with_context(|| option.clone())?;
                EventWriter::start(move || opened::again(&path))
            }
            #[cfg(not(unix))]
            bail!("{option}: on this system, only descriptor 1 is supported")
        }
    };
    events.context(option)
}

/// Writes events to standard error.
pub(in crate::cli) fn to_stderr() -> Result<EventWriter> {
    EventWriter::start(stderr).context("--progress json")
}

#[cfg(unix)]
fn stdout() -> io::Result<impl Write> {
    opened::duplicate(io::stdout())
}

/// Duplicates the descriptor: with a reader that does not read, a write would hold the lock of
/// [`io::stderr`] forever.
#[cfg(unix)]
pub(in crate::cli) fn stderr() -> io::Result<impl Write> {
    opened::duplicate(io::stderr())
}

#[cfg(not(unix))]
fn stdout() -> io::Result<impl Write> {
    Ok(io::stdout())
}

#[cfg(not(unix))]
pub(in crate::cli) fn stderr() -> io::Result<impl Write> {
    Ok(io::stderr())
}

#[cfg(unix)]
mod opened {
    use std::{
        fs::{self, File},
        io,
        os::{fd::AsFd, unix::fs::FileTypeExt},
        path::{Path, PathBuf},
    };

    use anyhow::{Context, Result, ensure};

    /// Returns the path to open a descriptor again. Fails if the descriptor is closed or a socket.
    pub(super) fn path(number: u32) -> Result<PathBuf> {
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        let kind = fs::metadata(&path).context("no such descriptor is open")?;
        ensure!(
            !kind.file_type().is_socket(),
            "a socket cannot be opened again: pass a pipe or a file"
        );
        Ok(path)
    }

    /// Opens the descriptor again. A file is appended to, whatever the offset of the caller is.
    pub(super) fn again(path: &Path) -> io::Result<File> {
        File::options().append(true).open(path)
    }

    pub(super) fn duplicate(descriptor: impl AsFd) -> io::Result<File> {
        Ok(descriptor.as_fd().try_clone_to_owned()?.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn unusable_descriptors_are_errors() {
        let message =
            |number, has_media| format!("{:#}", to_descriptor(number, has_media).unwrap_err());
        assert_eq!(
            message(1, true),
            "--progress-fd 1: the recording goes to standard output"
        );
        assert_eq!(
            message(2, false),
            "--progress-fd 2: --progress json writes to standard error"
        );
        for number in [100_000, u32::MAX] {
            let error = message(number, false);
            let expected = format!("--progress-fd {number}: no such descriptor is open: ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn sockets_are_errors() {
        use std::os::{fd::AsRawFd, unix::net::UnixStream};

        let (one, _other) = UnixStream::pair().unwrap();
        let number = one.as_raw_fd().try_into().unwrap();
        let error = format!("{:#}", to_descriptor(number, false).unwrap_err());
        assert!(error.contains("a socket cannot be opened again"), "{error}");
    }
}
