//! The options of the command line that a table may have.

use clap::{
    Arg, ArgAction, Command, CommandFactory,
    error::{ContextKind, ContextValue},
};

use crate::cli::args::Args;

/// The options of the command line, by their long names.
#[derive(Debug)]
pub(super) struct Options(Command);

impl Default for Options {
    fn default() -> Self {
        Self(Args::command())
    }
}

impl Options {
    /// Returns the option with this long name.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or if it concerns the process.
    pub(super) fn find(&self, key: &str) -> Result<&Arg, String> {
        let arg = self.by_name(key).ok_or_else(|| self.unknown(key))?;
        let heading = arg.get_help_heading().unwrap_or_default();
        if !HEADINGS.contains(&heading) || EXCLUDED.contains(&key) {
            return Err(match self.is_of_process(heading, key) {
                true => format!("{key} concerns the process: use --{key} on the command line"),
                false => format!("{key} cannot be used for one of several streams"),
            });
        }
        Ok(arg)
    }

    /// Returns the identity of the option with this long name.
    pub(super) fn id(&self, name: &str) -> Option<&str> {
        Some(self.by_name(name)?.get_id().as_str())
    }

    /// Returns all long names of an option.
    pub(super) fn names(&self, id: &str) -> impl Iterator<Item = String> {
        let mut args = self.0.get_arguments();
        let arg = args.find(|arg| arg.get_id() == id);
        let names = arg.and_then(Arg::get_long_and_visible_aliases);
        names.into_iter().flatten().map(str::to_owned)
    }

    fn by_name(&self, name: &str) -> Option<&Arg> {
        let is_called = |arg: &&Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        };
        self.0.get_arguments().find(is_called)
    }

    fn is_of_process(&self, heading: &str, key: &str) -> bool {
        let is_question = ["help", "version", "generate"].contains(&key);
        PROCESS_HEADINGS.contains(&heading) && !is_question
    }

    /// Describes a key that is not an option, with the most similar option.
    fn unknown(&self, key: &str) -> String {
        let words = ["rtmpull".to_owned(), format!("--{key}")];
        let error = self.0.clone().try_get_matches_from(words).err();
        let suggestion = error.and_then(|error| match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(option)) => Some(option.clone()),
            Some(ContextValue::Strings(options)) => options.first().cloned(),
            _ => None,
        });
        let suggestion = suggestion
            .as_deref()
            .map(|option| option.trim_start_matches('-'));
        match suggestion.filter(|option| self.find(option).is_ok()) {
            Some(option) => format!("{key} is not an option; did you mean {option}?"),
            None => format!("{key} is not an option"),
        }
    }
}

/// Whether an option has a value, and how often.
pub(super) fn takes_values(arg: &Arg) -> Values {
    let is_optional = arg
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    match arg.get_action() {
        ArgAction::Append => Values::Many,
        action if !action.takes_values() => Values::None,
        _ if is_optional => Values::Optional,
        _ => Values::One,
    }
}

/// Number of values of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// The option is a flag.
    None,
    /// The option is a flag, or has a value.
    Optional,
    One,
    /// The option can be repeated.
    Many,
}

/// Headings of the options that describe a download.
const HEADINGS: [&str; 9] = [
    "Stream",
    "Recording",
    "Reconnecting",
    "Segments and limits",
    "Connect parameters",
    "Authentication",
    "Connection",
    "TLS",
    "Diagnosis",
];

/// Headings of the options that concern the process.
const PROCESS_HEADINGS: [&str; 4] = ["Messages", "Scripting", "Many streams", "Monitoring"];

/// Options under these headings that do not describe a recording.
const EXCLUDED: [&str; 9] = [
    "repair",
    "remux",
    "join",
    "probe",
    "probe-time",
    "json",
    "nagios",
    "expect",
    "explain",
];
