//! Name that the program was started as. Under the name `rtmpdump` it behaves as the callers of rtmpdump
//! expect, in the few points that matter to them.

use std::{ffi::OsString, path::Path};

/// Name that the program was started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgramName {
    /// `rtmpull`, or any other name.
    #[default]
    Rtmpull,
    /// The name of the predecessor.
    Rtmpdump,
}

impl ProgramName {
    /// Returns the name for the first word of a command line.
    pub fn of(program: &OsString) -> Self {
        match Path::new(program).file_stem() {
            Some(stem) if stem.eq_ignore_ascii_case("rtmpdump") => Self::Rtmpdump,
            _ => Self::Rtmpull,
        }
    }

    /// Returns the text to print first. Front ends look for name and version in it.
    pub fn banner(self) -> Option<&'static str> {
        (self == Self::Rtmpdump).then_some(BANNER)
    }
}

/// Version of rtmpdump that front ends look for, and the version of rtmpull.
const BANNER: &str = concat!(
    "RTMPDump v2.4\n(rtmpull ",
    env!("CARGO_PKG_VERSION"),
    " in the place of rtmpdump)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_that_of_the_executable() {
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
    fn banner_starts_with_the_version_of_rtmpdump() {
        let banner = ProgramName::Rtmpdump.banner().unwrap();
        assert!(banner.starts_with("RTMPDump v2.4\n"));
        assert_eq!(ProgramName::Rtmpull.banner(), None);
    }
}
