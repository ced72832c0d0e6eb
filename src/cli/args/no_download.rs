//! Command lines that do not start a download.

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::short_help::SHORT_HELP;

use crate::cli::{exit_code::Exit, program_name::ProgramName, rtmpdump};

/// Outcome of a command line that does not start a download.
#[derive(Debug)]
pub enum NoDownload {
    /// Text for standard output: help, the version, or a generated file.
    Stdout(String),
    /// Text for standard error: help under the name of rtmpdump, which prints it there.
    Stderr(String),
    /// Text for standard error: an introduction for a command line without arguments.
    NoArguments(&'static str),
    /// A usage error, described in one line.
    Usage(String),
}

impl NoDownload {
    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Stdout(_) | Self::Stderr(_) => Exit::Success,
            Self::NoArguments(_) | Self::Usage(_) => Exit::Failure,
        }
    }

    pub(super) fn of(name: ProgramName, command: &Command, error: &clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp if name == ProgramName::Rtmpdump => {
                Self::Stderr(rtmpdump::help::help(command))
            }
            ErrorKind::DisplayHelp if is_short_help(command, error) => {
                Self::Stdout(SHORT_HELP.to_owned())
            }
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Self::Stdout(error.render().to_string())
            }
            kind => Self::Usage(message(kind, error)),
        }
    }
}

/// Returns the reason why a command line is rejected, in one line.
pub(super) fn message(kind: ErrorKind, error: &clap::Error) -> String {
    if kind == ErrorKind::MissingRequiredArgument
        && let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg)
    {
        // clap does not name the option that needs them.
        let missing = missing.join(" and ");
        return format!("add {missing}, which another option needs");
    }
    first_paragraph(error) + &hint(kind, error).unwrap_or_default()
}

/// Returns whether clap would print the help of `-h`.
fn is_short_help(command: &Command, error: &clap::Error) -> bool {
    let short = command.clone().render_help().to_string();
    error.render().to_string() == short
}

/// Returns what may be meant by the rejected word.
fn hint(kind: ErrorKind, error: &clap::Error) -> Option<String> {
    let word = |kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word),
        ContextValue::Strings(words) => words.first(),
        _ => None,
    };
    let suggestion = word(ContextKind::SuggestedArg).or_else(|| word(ContextKind::SuggestedValue));
    if let Some(suggestion) = suggestion {
        return Some(format!("; did you mean '{suggestion}'?"));
    }
    let argument = word(ContextKind::InvalidArg).filter(|_| kind == ErrorKind::UnknownArgument)?;
    Some(match argument.starts_with('-') {
        true => " (try --help)".to_owned(),
        false => "; to record several streams, use --streams".to_owned(),
    })
}

/// Returns the message of clap without the usage and the tips that follow it.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    lines.join(" ")
}
