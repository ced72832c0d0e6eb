//! What the program is called. Called `rtmpdump` it behaves as the callers of that one expect, in the
//! few points where that matters to them.

use std::{ffi::OsString, fmt::Write, path::Path};

use clap::{Arg, CommandFactory};

use super::args::Args;

/// The name that the program was started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Name {
    /// Ours, or any other.
    #[default]
    Rtmpull,
    /// The predecessor's.
    Rtmpdump,
}

impl Name {
    /// The name in what is the first word of a command line.
    pub fn of(program: &OsString) -> Self {
        match Path::new(program).file_stem() {
            Some(stem) if stem.eq_ignore_ascii_case("rtmpdump") => Self::Rtmpdump,
            _ => Self::Rtmpull,
        }
    }

    /// What is printed before anything else. Front ends look for name and version in it.
    pub fn banner(self) -> Option<&'static str> {
        (self == Self::Rtmpdump).then_some(BANNER)
    }

    /// Help in rtmpdump's layout: options from the first column on, one a line.
    pub(super) fn help(self) -> String {
        let mut out = String::new();
        for arg in Args::command().get_arguments() {
            if let Some(names) = names(arg) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                writeln!(out, "{names:<HELP_COLUMN$}{help}").expect("a string takes everything");
            }
        }
        out
    }
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

/// The version of rtmpdump that front ends ask for, and ours.
const BANNER: &str = concat!(
    "RTMPDump v2.4\n(rtmpull ",
    env!("CARGO_PKG_VERSION"),
    " in the place of rtmpdump)"
);

/// Where the explanations begin.
const HELP_COLUMN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_program_s() {
        for program in [
            "rtmpdump",
            "/usr/bin/rtmpdump",
            "./RTMPDUMP",
            "rtmpdump.exe",
        ] {
            assert_eq!(Name::of(&program.into()), Name::Rtmpdump, "{program}");
        }
        for program in ["rtmpull", "", "rtmpdump/rtmpull", "rtmpdump2"] {
            assert_eq!(Name::of(&program.into()), Name::Rtmpull, "{program}");
        }
    }

    /// What streamlink (`^--(\w+)`), get_iplayer and yt-dlp look for.
    #[test]
    fn helps_front_ends() {
        let help = Name::Rtmpdump.help();
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
        let banner = Name::Rtmpdump.banner().unwrap();
        assert!(banner.starts_with("RTMPDump v2.4\n"));
        assert_eq!(Name::Rtmpull.banner(), None);
    }
}
