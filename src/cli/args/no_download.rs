//! Command lines that ask for no download.

use clap::{Command, error::ErrorKind};

use crate::cli::{exit_code::Exit, program_name::ProgramName, rtmpdump};

/// A command line that asks for no download.
#[derive(Debug)]
pub enum NoDownload {
    /// It asks for something that belongs on standard output; holds the answer.
    Stdout(String),
    /// It asks for help, and its name says that help belongs on standard error.
    Stderr(String),
    /// It cannot be understood; holds why, in one line.
    Usage(String),
}

impl NoDownload {
    /// The exit code: an answer is what was wanted.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Stdout(_) | Self::Stderr(_) => Exit::Success,
            Self::Usage(_) => Exit::Failure,
        }
    }

    pub(super) fn of(name: ProgramName, command: &Command, error: &clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp if name == ProgramName::Rtmpdump => {
                Self::Stderr(rtmpdump::help::help(command))
            }
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Self::Stdout(error.render().to_string())
            }
            ErrorKind::UnknownArgument => {
                Self::Usage(format!("{} (try --help)", first_paragraph(error)))
            }
            _ => Self::Usage(first_paragraph(error)),
        }
    }
}

/// Without the tips that stand below: they are about clap, not about us.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    lines.join(" ")
}
