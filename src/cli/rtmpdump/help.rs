//! Help text under the name of rtmpdump.

use std::fmt::Write;

use clap::{Arg, Command};

/// Returns help in rtmpdump's layout: one option per line, starting in the first column.
pub fn help(command: &Command) -> String {
    let mut out = String::new();
    for arg in command.get_arguments() {
        if let Some(names) = names(arg) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(out, "{names:<HELP_COLUMN$}{help}").expect("a string takes everything");
        }
    }
    out
}

/// Formats the names of an option as `--long|-s value`.
fn names(arg: &Arg) -> Option<String> {
    let mut names = format!("--{}", arg.get_long()?);
    if let Some(letter) = arg.get_short() {
        names += &format!("|-{letter}");
    }
    if arg.get_action().takes_values() {
        let value = arg.get_value_names().and_then(<[_]>::first)?;
        names += &format!(" {}", value.to_lowercase());
    }
    Some(names + " ")
}

/// Column of the explanations.
const HELP_COLUMN: usize = 24;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Args;

    /// streamlink (`^--(\w+)`), get_iplayer and yt-dlp search the help for these lines.
    #[test]
    fn front_ends_find_their_options() {
        let help = help(&Args::command());
        for line in help.lines() {
            assert!(line.starts_with("--"), "{line}");
        }
        for start in [
            "--help|-h ",
            "--swfVfy|-W url ",
            "--socks|-S host[:port] ",
            "--jtv|-j text ",
            "--hashes|-# ",
            "--resume|-e ",
        ] {
            assert!(help.lines().any(|line| line.starts_with(start)), "{start}");
        }
    }
}
