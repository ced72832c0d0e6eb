//! What the program is called. Called `rtmpdump` it behaves as the callers of that one expect, in the
//! few points where that matters to them.

use std::{ffi::OsString, path::Path};

/// The name that the program was started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgramName {
    /// Ours, or any other.
    #[default]
    Rtmpull,
    /// The predecessor's.
    Rtmpdump,
}

impl ProgramName {
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
}

/// The version of rtmpdump that front ends ask for, and ours.
const BANNER: &str = concat!(
    "RTMPDump v2.4\n(rtmpull ",
    env!("CARGO_PKG_VERSION"),
    " in the place of rtmpdump)"
);

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
            assert_eq!(
                ProgramName::of(&program.into()),
                ProgramName::Rtmpdump,
                "{program}"
            );
        }
        for program in ["rtmpull", "", "rtmpdump/rtmpull", "rtmpdump2"] {
            assert_eq!(
                ProgramName::of(&program.into()),
                ProgramName::Rtmpull,
                "{program}"
            );
        }
    }

    #[test]
    fn greets_front_ends() {
        let banner = ProgramName::Rtmpdump.banner().unwrap();
        assert!(banner.starts_with("RTMPDump v2.4\n"));
        assert_eq!(ProgramName::Rtmpull.banner(), None);
    }
}
