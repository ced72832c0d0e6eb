//! Options that find out why a stream does not play.

use std::ffi::OsString;

use clap::{ArgAction, ArgMatches, Command, parser::ValueSource};

use super::probe::{DIAGNOSIS, REQUEST};

/// Options of explanations.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ExplainArgs {
    /// Find out why a stream does not play, by trying likely changes of the request
    ///
    /// Add this option to the command line that fails. rtmpull makes at most ten connections, one at a time and at
    /// least a second apart, and records nothing. It stops at the first request that plays, and prints a table of
    /// the attempts and the command line of that request. No change sends a password or a token to another host,
    /// or removes the encryption of a request that contains one. Exit code: 0 if a request plays, otherwise that
    /// of the first attempt.
    #[arg(long, help_heading = "Diagnosis", group = DIAGNOSIS)]
    #[arg(conflicts_with_all = ["repair", "remux", "capture", "replay"])]
    pub explain: bool,

    /// Options of the command line, with their full names. Empty without --explain.
    #[arg(skip)]
    pub given: Vec<GivenOption>,
}

/// An option of the command line, or the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOption {
    /// Name of the field that holds the option.
    pub id: String,
    /// Long name; `None` for the URL.
    pub long: Option<String>,
    /// Value, if the option has one.
    pub value: Option<OsString>,
}

impl ExplainArgs {
    /// Stores the options of the command line.
    pub(super) fn keep_given(&mut self, command: &Command, matches: &ArgMatches) {
        if !self.explain {
            return;
        }
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let option = |value| GivenOption {
                id: id.to_owned(),
                long: arg.get_long().map(str::to_owned),
                value,
            };
            match arg.get_action() {
                ArgAction::Set | ArgAction::Append => {
                    let values = matches.get_raw(id).into_iter().flatten();
                    let values = values.map(|value| option(Some(value.to_owned())));
                    self.given.extend(values);
                }
                _ => self.given.push(option(None)),
            }
        }
    }
}

impl GivenOption {
    /// Whether the option is part of the request, and not of the recording or of the output for people.
    pub fn is_of_request(&self) -> bool {
        REQUEST.contains(&self.id.as_str())
    }
}
