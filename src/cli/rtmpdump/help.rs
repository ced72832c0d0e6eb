//! `--help` under the name of rtmpdump.

use std::fmt::Write;

use clap::{Arg, Command};

/// Help in rtmpdump's layout: options from the first column on, one a line.
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

/// `--long|-s value`
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

/// Where the explanations begin.
const HELP_COLUMN: usize = 24;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Args;

    /// What streamlink (`^--(\w+)`), get_iplayer and yt-dlp look for.
    #[test]
    fn helps_front_ends() {
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
