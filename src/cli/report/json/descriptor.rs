//! File descriptors that the caller has opened, by their numbers.
//!
//! To take one for one's own is beyond what safe code may do, since nobody knows who else uses it; so it
//! is opened once more by its name in `/dev/fd`. That works for files, devices and pipes, not for
//! sockets. Standard output and error are everybody's, and can be duplicated.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};

use super::event::EventWriter;

/// Events to descriptor `number`.
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
            bail!("{option}: this system has no descriptors but 1")
        }
    };
    events.context(option)
}

/// Events to standard error.
pub(in crate::cli) fn to_stderr() -> Result<EventWriter> {
    EventWriter::start(stderr).context("--progress json")
}

#[cfg(unix)]
fn stdout() -> io::Result<impl Write> {
    opened::duplicate(io::stdout())
}

/// Not [`io::stderr`], whose lock a reader that does not read would have us hold for ever.
#[cfg(unix)]
fn stderr() -> io::Result<impl Write> {
    opened::duplicate(io::stderr())
}

#[cfg(not(unix))]
fn stdout() -> io::Result<impl Write> {
    Ok(io::stdout())
}

#[cfg(not(unix))]
fn stderr() -> io::Result<impl Write> {
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

    /// The name of a descriptor that is open, and can be opened again.
    pub(super) fn path(number: u32) -> Result<PathBuf> {
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        let kind = fs::metadata(&path).context("no such descriptor is open")?;
        ensure!(
            !kind.file_type().is_socket(),
            "a socket cannot be opened again: pass a pipe or a file"
        );
        Ok(path)
    }

    /// A file is added to, wherever its caller is.
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
    fn what_is_not_open_is_told() {
        let error =
            |number, has_media| format!("{:#}", to_descriptor(number, has_media).unwrap_err());
        assert_eq!(
            error(1, true),
            "--progress-fd 1: the recording goes to standard output"
        );
        assert_eq!(
            error(2, false),
            "--progress-fd 2: --progress json writes to standard error"
        );
        for number in [100_000, u32::MAX] {
            let told = error(number, false);
            let expected = format!("--progress-fd {number}: no such descriptor is open: ");
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    #[test]
    fn a_socket_is_told() {
        use std::os::{fd::AsRawFd, unix::net::UnixStream};

        let (one, _other) = UnixStream::pair().unwrap();
        let number = one.as_raw_fd().try_into().unwrap();
        let told = format!("{:#}", to_descriptor(number, false).unwrap_err());
        assert!(told.contains("a socket cannot be opened again"), "{told}");
    }
}
