//! Parses a command line into [`Args`].

use std::{
    ffi::OsString,
    mem,
    path::{Path, PathBuf},
};

use clap::{
    Arg, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{
    Args, NoDownload, STDOUT, abbreviations, conversion::ALLOWED_WITH_REMUX, no_download,
    probe::ALLOWED_WITH_PROBE, short_help, streams::ALLOWED_WITH_STREAMS,
};
use crate::cli::program_name::ProgramName;

impl Args {
    /// Parses a command line, which starts with the name of the program.
    pub fn read(command_line: impl IntoIterator<Item = OsString>) -> Result<Self, NoDownload> {
        let command_line: Vec<OsString> = command_line.into_iter().collect();
        let name = command_line
            .first()
            .map_or(ProgramName::Rtmpull, ProgramName::of);
        if command_line.len() < 2 && name == ProgramName::Rtmpull {
            return Err(NoDownload::NoArguments(short_help::INTRODUCTION));
        }
        let command = Self::command();
        let mut args = abbreviations::expand(&command, command_line).and_then(|line| {
            Self::parsed(line).map_err(|error| NoDownload::of(name, &command, &error))
        })?;
        if let Some(what) = args.generate {
            return Err(NoDownload::Stdout(what.text(command)));
        }
        args.name = name;
        args.order_outputs();
        Ok(args)
    }

    /// Makes `-o FILE --tee -` the same as `-o - --tee FILE`.
    fn order_outputs(&mut self) {
        let is_stdout = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new(STDOUT));
        if is_stdout(&self.tee) && self.flv.is_some() {
            mem::swap(&mut self.flv, &mut self.tee);
        }
    }

    fn parsed(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(line)?;
        let mut args = Self::from_arg_matches(&matches)?;
        args.explain.keep_given(&command, &matches);
        let (mode, allowed) = match &args {
            Self { probe, .. } if probe.is_requested() => {
                ("--probe records nothing", &ALLOWED_WITH_PROBE[..])
            }
            Self { repair, .. } if !repair.is_empty() => {
                ("--repair downloads nothing", &ALLOWED_WITH_REPAIR[..])
            }
            Self { conversion, .. } if conversion.is_requested() => {
                ("--remux downloads nothing", &ALLOWED_WITH_REMUX[..])
            }
            Self { streams, .. } if streams.streams.is_some() => {
                let mode = "--streams reads the options of streams from its file";
                (mode, &ALLOWED_WITH_STREAMS[..])
            }
            _ => return Ok(args),
        };
        let is_excluded = |arg: &&Arg| {
            let id = arg.get_id().as_str();
            matches.value_source(id) == Some(ValueSource::CommandLine) && !allowed.contains(&id)
        };
        let excluded = command.get_arguments().find(is_excluded);
        match excluded.map(ToString::to_string) {
            Some(arg) => {
                let why = format!("{mode}: it cannot be used with {arg}");
                Err(command.error(ErrorKind::ArgumentConflict, why))
            }
            None => Ok(args),
        }
    }

    /// Parses the options of one of several streams.
    ///
    /// # Errors
    ///
    /// Fails with the reason in one line, and with the rejected option.
    pub(in crate::cli) fn of_stream(
        words: impl Iterator<Item = OsString>,
    ) -> Result<Self, Rejected> {
        let program = OsString::from("rtmpull");
        let parsed = Self::parsed([program].into_iter().chain(words).collect());
        let mut args = parsed.map_err(|error| Rejected::of(&error))?;
        args.order_outputs();
        Ok(args)
    }
}

/// An option of a stream that is rejected.
#[derive(Debug)]
pub(in crate::cli) struct Rejected {
    /// Long name of the option.
    pub(in crate::cli) option: Option<String>,
    /// Reason in one line.
    pub(in crate::cli) reason: String,
}

impl Rejected {
    fn of(error: &clap::Error) -> Self {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => Some(option),
            Some(ContextValue::Strings(options)) => options.first(),
            _ => None,
        };
        let option = option.and_then(|option| option.strip_prefix("--"));
        let name = option.and_then(|option| option.split([' ', '=', '[']).next());
        Self {
            option: name.map(str::to_owned),
            reason: no_download::message(error.kind(), error),
        }
    }
}

/// Arguments that may be used together with --repair.
const ALLOWED_WITH_REPAIR: [&str; 6] = ["repair", "flv", "quiet", "verbose", "debug", "log_file"];
