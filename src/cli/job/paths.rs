//! Paths named on the command line, and the kinds of files found there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};

use super::{environment::Environment, stream_name::StreamName};
use crate::{
    cli::{
        args::{Args, STDOUT},
        program_name::ProgramName,
    },
    output::{Destination, Format, Template, numbered_name},
};

/// Outputs of a download.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) recording: Output,
    /// Pipe that receives the same stream as a recording in files.
    pub(super) pipe: Option<Destination>,
}

/// An output and the kind of file that its path named when the arguments were resolved.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) destination: Destination,
    pub(super) kind: Kind,
}

/// Kind of file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pipe, a device, or standard output.
    Special,
    /// A regular file that is not empty.
    Filled,
    /// A file that is empty or does not exist. A folder counts as one: opening it reports the error.
    Empty,
}

impl Outputs {
    /// Resolves `-o` and `--tee`.
    pub(super) fn of(args: &Args, environment: &Environment, stream: &StreamName) -> Result<Self> {
        let output = args.flv.as_deref();
        let Some(tee) = args.tee.as_deref() else {
            return Ok(Self {
                recording: Output::of(args, environment, stream)?,
                pipe: None,
            });
        };
        ensure!(
            !is_stdout(output) || !environment.stdout_is_terminal,
            "--tee needs a pipe as the output, but standard output is a terminal; \
             to write only a file, use -o"
        );
        let pipe = Output::of(args, environment, stream)?;
        ensure!(
            pipe.kind == Kind::Special,
            "--tee needs a pipe as the output: use -o - or a FIFO; to write only a file, use -o"
        );
        ensure!(!is_stdout(Some(tee)), "--tee needs the name of a file");
        let recording = Output::at(tee, args, stream);
        recording.ensure_file("--tee")?;
        Ok(Self {
            recording,
            pipe: Some(pipe.destination),
        })
    }
}

impl Output {
    fn of(args: &Args, environment: &Environment, stream: &StreamName) -> Result<Self> {
        if args.probe.is_requested() {
            return Ok(Self {
                destination: Destination::Discard,
                kind: Kind::Special,
            });
        }
        let path = args.flv.as_deref();
        if let Some(path) = path.filter(|path| !is_stdout(Some(path))) {
            ensure!(
                !path.as_os_str().is_empty(),
                "-o needs the name of a file, but its value is empty"
            );
            return Ok(Self::at(path, args, stream));
        }
        if path.is_none() && !writes_to_stdout(args, environment) {
            let path = Path::new(&stream.file_name()).to_owned();
            return Ok(Self::named_after_stream(path, args));
        }
        ensure!(
            !environment.stdout_is_terminal,
            "refusing to write video to the terminal: name a file with -o, or redirect the output"
        );
        // Callers of rtmpdump may discard the output, which they did not name.
        let may_be_discarded = path.is_none() && args.name == ProgramName::Rtmpdump;
        ensure!(
            !environment.stdout_is_closed || may_be_discarded,
            "standard output is closed, or is /dev/null opened for reading and writing: name a file \
             with -o, or use -o /dev/null to discard the recording"
        );
        if path.is_none() {
            tracing::warn!("no output file given (-o FILE), writing to standard output");
        }
        Ok(Self {
            destination: Destination::Stdout,
            kind: Kind::Special,
        })
    }

    /// Under the name of rtmpdump, a path has no fields and names no folder.
    fn at(path: &Path, args: &Args, stream: &StreamName) -> Self {
        if args.name == ProgramName::Rtmpdump {
            return Self::file(path);
        }
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") || is_windows_folder(path) {
            return Self::named_after_stream(path.join(stream.file_name()), args);
        }
        let path = match path.to_str() {
            Some(name) => PathBuf::from(stream.insert_into(name)),
            None => path.to_owned(),
        };
        match Template::parse(&path) {
            Some(template) => Self::template(template),
            None => Self::file(&path),
        }
    }

    /// Returns an output whose name the user did not choose. It replaces no file, unless an option asks for
    /// exactly that.
    fn named_after_stream(mut path: PathBuf, args: &Args) -> Self {
        if args.format == Some(Format::Mp4) {
            path.set_extension("mp4");
        }
        if args.resume || args.append || args.overwrite {
            tracing::info!("recording to {}", path.display());
            return Self::file(&path);
        }
        let mut numbered = (2..).map(|number| numbered_name(&path, number));
        let free = match path.exists() {
            true => numbered.find(|path| !path.exists()).unwrap_or(path),
            false => path,
        };
        tracing::info!("recording to {}", free.display());
        Self::template(Template::literal(&free))
    }

    fn template(template: Template) -> Self {
        Self {
            destination: Destination::Template(template),
            kind: Kind::Empty,
        }
    }

    fn file(path: &Path) -> Self {
        let kind = match fs::metadata(path) {
            Ok(found) if found.is_file() && found.len() > 0 => Kind::Filled,
            Ok(found) if !found.is_file() && !found.is_dir() => Kind::Special,
            _ => Kind::Empty,
        };
        Self {
            destination: Destination::Path(path.to_owned()),
            kind,
        }
    }

    /// Returns whether the output is a regular file, or will be one.
    pub(super) fn is_file(&self) -> bool {
        self.kind != Kind::Special
    }

    /// Fails if `option` needs a file and the output is none.
    pub(super) fn ensure_file(&self, option: &str) -> Result<()> {
        match &self.destination {
            Destination::Stdout | Destination::Discard => {
                bail!("{option} needs an output file: name one with -o")
            }
            Destination::Path(path) if !self.is_file() => {
                bail!(
                    "{option} needs an output file, but {} is not a file",
                    path.display()
                )
            }
            Destination::Path(_) | Destination::Template(_) => Ok(()),
        }
    }
}

/// Fails if two options name the same file, or if one names standard output while the recording goes there.
/// Runs before anything is written.
pub(in crate::cli) fn ensure_distinct(args: &Args) -> Result<()> {
    let output = args.flv.as_ref().filter(|file| !is_stdout(Some(file)));
    let named = [
        ("--log-file", args.log_file.as_ref()),
        ("--heartbeat", args.heartbeat.as_ref()),
        ("--manifest", args.manifest.as_ref()),
        ("--capture", args.capture.capture.as_ref()),
        ("--replay", args.capture.replay.as_ref()),
        ("--tee", args.tee.as_ref()),
        (OUTPUT, output),
    ];
    let repaired = args.repair.iter().map(|file| (REPAIR, file));
    let inputs = args.conversion.remux.iter();
    let inputs = inputs.filter(|file| !is_stdout(Some(file)));
    let inputs = inputs.map(|file| (REMUX, file));
    let named = named
        .into_iter()
        .filter_map(|(option, file)| Some((option, file?)));
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (option, file) in named.chain(repaired).chain(inputs) {
        ensure!(
            !is_stdout(args.flv.as_deref()) || !args.repair.is_empty() || !is_stdout_file(file),
            "{option} names standard output, where the recording goes"
        );
        let Some(path) = canonical(file) else {
            continue;
        };
        let same = seen.iter().find(|(_, other)| *other == path);
        if let Some((other, _)) = same {
            // A file may be repaired twice, and a repair checks its own output.
            let is_allowed = option == REPAIR && [REPAIR, OUTPUT].contains(other)
                || (option, *other) == (REMUX, REMUX);
            ensure!(is_allowed, "{other} and {option} name the same file");
        }
        seen.push((option, path));
    }
    Ok(())
}

/// Returns the canonical path of a file, which need not exist. `None` for pipes and devices, which may
/// have several writers.
pub(in crate::cli) fn canonical(file: &Path) -> Option<PathBuf> {
    if let Ok(path) = fs::canonicalize(file) {
        return path.is_file().then_some(path);
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(fs::canonicalize(folder).ok()?.join(file.file_name()?))
}

/// Returns whether `file` is the pipe or the file that standard output goes to. Devices do not count: the
/// output of several writers to `/dev/null` does not mix.
fn is_stdout_file(file: &Path) -> bool {
    are_same_file(file, Path::new("/dev/stdout"))
}

/// Returns whether `file` is the pipe or the file that standard input comes from.
pub(super) fn is_stdin_file(file: &Path) -> bool {
    are_same_file(file, Path::new("/dev/stdin"))
}

#[cfg(unix)]
fn are_same_file(file: &Path, standard: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let identity = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        let is_mixed = found.is_file() || found.file_type().is_fifo();
        is_mixed.then(|| (found.dev(), found.ino()))
    };
    let identity_of_file = identity(file);
    identity_of_file.is_some() && identity_of_file == identity(standard)
}

#[cfg(not(unix))]
fn are_same_file(_: &Path, _: &Path) -> bool {
    false
}

/// Returns whether the path ends with the separator of Windows.
fn is_windows_folder(path: &Path) -> bool {
    cfg!(windows) && path.as_os_str().as_encoded_bytes().ends_with(b"\\")
}

/// Returns whether the recording goes to standard output: also by default, unless that is a terminal and
/// the recording gets the name of the stream.
pub(in crate::cli) fn writes_to_stdout(args: &Args, environment: &Environment) -> bool {
    let has_default_name = args.flv.is_none()
        && args.tee.is_none()
        && environment.stdout_is_terminal
        && args.name == ProgramName::Rtmpull;
    is_stdout(args.flv.as_deref()) && !has_default_name
}

/// Returns whether the recording goes to standard output if `-o` has this value.
pub(in crate::cli) fn is_stdout(file: Option<&Path>) -> bool {
    file.is_none_or(|file| file == STDOUT)
}

const OUTPUT: &str = "--flv";
const REPAIR: &str = "--repair";
const REMUX: &str = "--remux";
