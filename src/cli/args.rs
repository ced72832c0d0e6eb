//! Every flag once. The doc comment of a field is its help text.
//!
//! House rules: letters and long names are rtmpdump's wherever it has the option, mixed case
//! included; an option given again replaces what was given before, `-C` alone adds to it; what
//! follows an option is its value even if it begins with a hyphen. A flag that this version cannot
//! honour is an error.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Parser, ValueEnum, builder::ValueHint, error::ErrorKind};

use super::exit::Exit;

/// Downloads recorded and live RTMP streams to FLV files.
///
/// A recording is playable however it ends; the last line and the exit code tell how it ended.
#[derive(Debug, Parser)]
#[command(
    name = "rtmpull",
    version,
    disable_version_flag = true,
    disable_help_flag = true,
    args_override_self = true,
    after_help = AFTER_HELP,
    override_usage = "rtmpull [OPTIONS] <URL> -o <FILE>"
)]
pub struct Args {
    /// The stream: rtmp://host/app/stream, or rtmp://host:port/app/stream
    ///
    /// The first two directories of the path are taken for the app on the server if there are three
    /// parts or more, else the first one; what follows is the name of the stream. --app and
    /// --playpath say it exactly.
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(required_unless_present = "rtmp", conflicts_with = "rtmp")]
    pub url: Option<String>,

    /// The stream, given as rtmpdump takes it
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub rtmp: Option<String>,

    /// The stream is live: ask for nothing recorded, record until it ends or you press Ctrl-C
    ///
    /// Without it the server is asked for the live stream of that name, or else the recorded one. With
    /// it an end by Ctrl-C is a success, since no end is known that could be missing.
    #[arg(short = 'v', long, help_heading = "Stream")]
    pub live: bool,

    /// The app on the server, instead of the URL's
    #[arg(short, long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub app: Option<String>,

    /// The name of the stream in the app, sent exactly as given
    #[arg(short = 'y', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub playpath: Option<String>,

    /// Where to write the recording; - is standard output
    ///
    /// Without it the recording goes to standard output too, never to a terminal. An existing file is
    /// replaced once the first media arrives, not before.
    #[arg(short = 'o', long = "flv", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub flv: Option<PathBuf>,

    /// Keep the server's timestamps instead of starting at 0
    #[arg(long, help_heading = "Recording")]
    pub keep_timestamps: bool,

    /// The address of the page's player, for servers that ask
    #[arg(
        short,
        long = "swfUrl",
        value_name = "URL",
        help_heading = "What the server is told"
    )]
    #[arg(allow_hyphen_values = true)]
    pub swf_url: Option<String>,

    /// The address of the page that the player is on, for servers that ask
    #[arg(
        short,
        long = "pageUrl",
        value_name = "URL",
        help_heading = "What the server is told"
    )]
    #[arg(allow_hyphen_values = true)]
    pub page_url: Option<String>,

    /// The address that was opened, up to the app [default: made of the URL]
    #[arg(
        short,
        long = "tcUrl",
        value_name = "URL",
        help_heading = "What the server is told"
    )]
    #[arg(allow_hyphen_values = true)]
    pub tc_url: Option<String>,

    /// The version of Flash Player to pass for [default: "LNX 10,0,32,18", by system]
    #[arg(short, long = "flashVer", value_name = "VERSION")]
    #[arg(help_heading = "What the server is told", allow_hyphen_values = true)]
    pub flash_ver: Option<String>,

    /// The live stream to subscribe to before playing [default: the playpath, with --live]
    #[arg(
        short = 'd',
        long,
        value_name = "NAME",
        help_heading = "What the server is told"
    )]
    #[arg(allow_hyphen_values = true)]
    pub subscribe: Option<String>,

    /// A further argument of connect, such as S:text (repeatable)
    ///
    /// B:1 and B:0 are booleans, N:number a number, S:text a string, Z: null. O:1 begins an object and
    /// O:0 ends it; what is between them has a name: NB:name:1, NN:name:number, NS:name:text, and
    /// NO:name:1 for an object in the object.
    #[arg(short = 'C', long = "conn", value_name = "TYPE:DATA", action = ArgAction::Append)]
    #[arg(help_heading = "What the server is told", allow_hyphen_values = true)]
    pub conn: Vec<String>,

    /// How many seconds to wait at any step before giving up; 0 is for ever
    ///
    /// Bounds each wait on its own: for the connection, the handshake, the answer to each command, the
    /// first media, and the next media. [default: 30 for media, 10 before that]
    #[arg(short = 'm', long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_negative_numbers = true)]
    pub timeout: Option<u32>,

    /// The buffer to announce to the server, in milliseconds [default: a few seconds, growing]
    ///
    /// Servers send about as much ahead of time as fits the buffer. Some drop what a slow line cannot
    /// carry if it is large.
    #[arg(short, long, value_name = "MS", help_heading = "Connection")]
    #[arg(allow_negative_numbers = true)]
    pub buffer: Option<u32>,

    /// Which handshake to offer; auto is digest, and plain where the server knows no other
    #[arg(
        long,
        value_name = "KIND",
        default_value = "auto",
        help_heading = "Connection"
    )]
    pub handshake: Handshake,

    /// Wait for each answer before the next command: slower to start, for servers that stumble
    #[arg(long, help_heading = "Connection")]
    pub no_pipelining: bool,

    /// Print nothing at all; the exit code still tells how it ended
    #[arg(short, long, help_heading = "Messages", overrides_with_all = ["verbose", "debug"])]
    pub quiet: bool,

    /// Print what is said and heard
    #[arg(short = 'V', long, help_heading = "Messages", overrides_with_all = ["quiet", "debug"])]
    pub verbose: bool,

    /// Print everything, each message that arrives included
    #[arg(short = 'z', long, help_heading = "Messages", overrides_with_all = ["quiet", "verbose"])]
    pub debug: bool,

    /// Print help: -h in brief, --help in full
    #[arg(short, long, action = ArgAction::Help, help_heading = "Messages")]
    pub help: Option<bool>,

    /// Print the version
    #[arg(long, action = ArgAction::Version, help_heading = "Messages")]
    pub version: Option<bool>,
}

impl Args {
    /// Reads a command line, the program's name first.
    pub fn read(command_line: impl IntoIterator<Item = OsString>) -> Result<Self, NoArgs> {
        Self::try_parse_from(command_line).map_err(NoArgs::from)
    }

    /// The stream's URL, whichever way it was given.
    pub fn url(&self) -> &str {
        let url = self.url.as_deref().or(self.rtmp.as_deref());
        url.unwrap_or_default()
    }

    /// How much to print.
    pub fn verbosity(&self) -> Verbosity {
        match self {
            Self { quiet: true, .. } => Verbosity::Quiet,
            Self { verbose: true, .. } => Verbosity::Verbose,
            Self { debug: true, .. } => Verbosity::Debug,
            _ => Verbosity::Normal,
        }
    }
}

/// A choice of handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Handshake {
    /// Digest, and plain where the server knows no other
    Auto,
    /// Without digests
    Plain,
    /// With digests, or not at all
    Digest,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// How it goes.
    Normal,
    /// What is said and heard, too.
    Verbose,
    /// Everything.
    Debug,
}

/// A command line that asks for no download.
#[derive(Debug)]
pub enum NoArgs {
    /// It asks for help or the version; holds the answer.
    Answer(String),
    /// It cannot be understood; holds why, in one line.
    Usage(String),
}

impl NoArgs {
    /// The exit code: an answer is what was wanted.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Answer(_) => Exit::Success,
            Self::Usage(_) => Exit::Failure,
        }
    }
}

impl From<clap::Error> for NoArgs {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Self::Answer(error.render().to_string())
            }
            ErrorKind::MissingRequiredArgument => {
                Self::Usage("no URL given (try --help)".to_owned())
            }
            ErrorKind::UnknownArgument => Self::Usage(unknown_argument(&error)),
            _ => Self::Usage(first_paragraph(&error)),
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

fn unknown_argument(error: &clap::Error) -> String {
    let argument = match error.get(clap::error::ContextKind::InvalidArg) {
        Some(clap::error::ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    let name = argument.split('=').next().unwrap_or_default();
    if NOT_YET
        .iter()
        .any(|(short, long)| [*short, *long].contains(&name))
    {
        format!("{name} is not supported by this version")
    } else {
        format!("{} (try --help)", first_paragraph(error))
    }
}

/// The options of rtmpdump that are still to come.
const NOT_YET: [(&str, &str); 19] = [
    ("-i", "--url"),
    ("-n", "--host"),
    ("-c", "--port"),
    ("-S", "--socks"),
    ("-l", "--protocol"),
    ("-u", "--auth"),
    ("-Y", "--playlist"),
    ("-R", "--realtime"),
    ("-e", "--resume"),
    ("-k", "--skip"),
    ("-A", "--start"),
    ("-B", "--stop"),
    ("-T", "--token"),
    ("-j", "--jtv"),
    ("-w", "--swfhash"),
    ("-x", "--swfsize"),
    ("-W", "--swfVfy"),
    ("-X", "--swfAge"),
    ("-#", "--hashes"),
];

const AFTER_HELP: &str = "\
Examples:
  rtmpull rtmp://example.com/vod/film.flv -o film.flv
  rtmpull --live rtmp://example.com/live/camera -o camera.flv
  rtmpull --live rtmp://example.com/live/camera | ffplay -

Exit codes:
  0  complete, or a live recording that you ended
  1  wrong usage, refused by the server, or nothing could be written
  2  incomplete: what arrived is in the file
  3  no connection";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(arguments: &[&str]) -> Result<Args, NoArgs> {
        let program = OsString::from("rtmpull");
        Args::read(
            [program]
                .into_iter()
                .chain(arguments.iter().map(OsString::from)),
        )
    }

    fn usage(arguments: &[&str]) -> String {
        match read(arguments).unwrap_err() {
            NoArgs::Usage(message) => message,
            NoArgs::Answer(answer) => panic!("{answer}"),
        }
    }

    #[test]
    fn defines_consistent_flags() {
        Args::command().debug_assert();
    }

    #[test]
    fn explains_every_flag() {
        for help in ["-h", "--help"] {
            let no_args = read(&[help]).unwrap_err();
            assert_eq!(no_args.exit(), Exit::Success);
            let NoArgs::Answer(help) = no_args else {
                panic!()
            };
            for argument in Args::command().get_arguments() {
                for name in argument.get_long_and_visible_aliases().unwrap_or_default() {
                    assert!(help.contains(&format!("--{name}")), "{name}");
                }
                for letter in argument.get_short_and_visible_aliases().unwrap_or_default() {
                    assert!(help.contains(&format!("-{letter}")), "{letter}");
                }
                assert!(argument.get_help().is_some(), "{argument}");
                let is_option = !argument.is_positional();
                assert_eq!(
                    argument.get_help_heading().is_some(),
                    is_option,
                    "{argument}"
                );
            }
            assert!(help.contains("Exit codes:"));
        }
    }

    #[test]
    fn tells_the_version() {
        let NoArgs::Answer(version) = read(&["--version"]).unwrap_err() else {
            panic!()
        };
        assert_eq!(
            version,
            concat!("rtmpull ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }

    #[test]
    fn has_rtmpdump_s_letters_and_names() {
        let letters = "-r R -v -a A -y Y -t T -s S -p P -f F -d D -C N:1 -b 5 -m 6 -o O -V";
        let names = "--rtmp R --live --app A --playpath Y --tcUrl T --swfUrl S --pageUrl P \
                     --flashVer F --subscribe D --conn N:1 --buffer 5 --timeout 6 --flv O --verbose";
        let equals = "--rtmp=R --live --app=A --playpath=Y --tcUrl=T --swfUrl=S --pageUrl=P \
                      --flashVer=F --subscribe=D --conn=N:1 --buffer=5 --timeout=6 --flv=O --verbose";
        for line in [letters, names, equals] {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            let args = read(&arguments).unwrap();
            assert_eq!(args.url(), "R");
            assert!(args.live);
            assert_eq!(args.app.as_deref(), Some("A"));
            assert_eq!(args.playpath.as_deref(), Some("Y"));
            assert_eq!(args.tc_url.as_deref(), Some("T"));
            assert_eq!(args.swf_url.as_deref(), Some("S"));
            assert_eq!(args.page_url.as_deref(), Some("P"));
            assert_eq!(args.flash_ver.as_deref(), Some("F"));
            assert_eq!(args.subscribe.as_deref(), Some("D"));
            assert_eq!(args.conn, ["N:1"]);
            assert_eq!((args.buffer, args.timeout), (Some(5), Some(6)));
            assert_eq!(args.flv, Some(PathBuf::from("O")));
            assert_eq!(args.verbosity(), Verbosity::Verbose);
        }
    }

    #[test]
    fn takes_options_again_and_operands_anywhere() {
        let args = read(&[
            "-o",
            "a",
            "-v",
            "-C",
            "O:1",
            "rtmp://h/a/b",
            "-C",
            "O:0",
            "-v",
            "-o",
            "-",
            "-m",
            "1",
            "-m",
            "2",
        ])
        .unwrap();
        assert_eq!(args.url(), "rtmp://h/a/b");
        assert_eq!(args.flv, Some(PathBuf::from("-")));
        assert_eq!(args.conn, ["O:1", "O:0"]);
        assert_eq!(args.timeout, Some(2));
        assert!(args.live);
    }

    #[test]
    fn takes_hyphens_for_values() {
        let args = read(&["-r", "-r", "-y", "-v", "-C", "-", "-o", "-q"]).unwrap();
        assert_eq!(args.url(), "-r");
        assert_eq!(args.playpath.as_deref(), Some("-v"));
        assert_eq!(args.verbosity(), Verbosity::Normal);
        assert!(!args.live);
    }

    #[test]
    fn heeds_the_last_word_on_verbosity() {
        let verbosity = |flags: &[&str]| read(&[&["u"], flags].concat()).unwrap().verbosity();
        assert_eq!(verbosity(&[]), Verbosity::Normal);
        assert_eq!(verbosity(&["-q"]), Verbosity::Quiet);
        assert_eq!(verbosity(&["-q", "-V"]), Verbosity::Verbose);
        assert_eq!(verbosity(&["-V", "-z"]), Verbosity::Debug);
        assert_eq!(verbosity(&["-zVq"]), Verbosity::Quiet);
        assert_eq!(verbosity(&["--quiet", "--debug"]), Verbosity::Debug);
    }

    #[test]
    fn says_in_one_line_what_is_wrong() {
        let cases: [(&[&str], &str); 12] = [
            (&[], "no URL given (try --help)"),
            (&["-v"], "no URL given (try --help)"),
            (
                &["-r", "a", "b"],
                "the argument '--rtmp <URL>' cannot be used with '[URL]'",
            ),
            (&["a", "b"], "unexpected argument 'b' found (try --help)"),
            (
                &["a", "--swfurl", "b"],
                "unexpected argument '--swfurl' found (try --help)",
            ),
            (&["a", "-Q"], "unexpected argument '-Q' found (try --help)"),
            (
                &["a", "-m"],
                "a value is required for '--timeout <SECONDS>' but none was supplied",
            ),
            (
                &["a", "-m", "soon"],
                "invalid value 'soon' for '--timeout <SECONDS>': invalid digit found in string",
            ),
            (
                &["a", "-b", "-5"],
                "invalid value '-5' for '--buffer <MS>': -5 is not in 0..=4294967295",
            ),
            (
                &["a", "--handshake", "x"],
                "invalid value 'x' for '--handshake <KIND>' [possible values: auto, plain, digest]",
            ),
            (
                &["a", "--resume"],
                "--resume is not supported by this version",
            ),
            (&["a", "-vR"], "-R is not supported by this version"),
        ];
        for (arguments, expected) in cases {
            assert_eq!(usage(arguments), expected, "{arguments:?}");
            assert_eq!(read(arguments).unwrap_err().exit(), Exit::Failure);
        }
    }

    #[test]
    fn accepts_no_option_of_rtmpdump_that_it_would_ignore() {
        for (short, long) in NOT_YET {
            let with_value = format!("{long}=1");
            for (argument, name) in [(short, short), (long, long), (&with_value, long)] {
                let expected = format!("{name} is not supported by this version");
                assert_eq!(usage(&["rtmp://h/a/b", argument, "1"]), expected);
            }
        }
    }
}
