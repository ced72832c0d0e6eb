use std::ffi::OsString;

use clap::{Arg, CommandFactory};

use super::{conversion::ALLOWED_WITH_REMUX, probe::ALLOWED_WITH_PROBE, *};
use crate::cli::exit_code::Exit;

fn read(arguments: &[&str]) -> Result<Args, NoDownload> {
    let program = OsString::from("rtmpull");
    Args::read(
        [program]
            .into_iter()
            .chain(arguments.iter().map(OsString::from)),
    )
}

fn usage(arguments: &[&str]) -> String {
    match read(arguments).unwrap_err() {
        NoDownload::Usage(message) => message,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn flags_are_consistent() {
    Args::command().debug_assert();
}

#[test]
fn help_explains_every_flag() {
    let no_download = read(&["--help"]).unwrap_err();
    assert_eq!(no_download.exit(), Exit::Success);
    let NoDownload::Stdout(help) = no_download else {
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

#[test]
fn short_help_fits_on_one_screen_and_names_existing_options() {
    for line in [&["-h"][..], &["-vh"]] {
        let NoDownload::Stdout(help) = read(line).unwrap_err() else {
            panic!()
        };
        assert!(help.lines().count() <= 30, "{help}");
        assert!(help.lines().all(|line| line.len() <= 80), "{help}");
        assert!(help.contains("--help shows all options"), "{help}");
        let command = Args::command();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words = help.split(|c| !is_name(c));
        for name in words.filter_map(|word| word.strip_prefix("--")) {
            let is_known = |arg: &Arg| {
                let names = arg.get_long_and_visible_aliases().unwrap_or_default();
                names.contains(&name)
            };
            assert!(command.get_arguments().any(is_known), "--{name}");
        }
    }
}

#[test]
fn no_arguments_print_an_introduction() {
    let no_download = read(&[]).unwrap_err();
    assert_eq!(no_download.exit(), Exit::Failure);
    let NoDownload::NoArguments(text) = no_download else {
        panic!("{no_download:?}")
    };
    for line in text.lines().filter(|line| line.starts_with("  rtmpull ")) {
        let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
        assert!(read(&arguments).is_ok(), "{line}");
    }
    assert_eq!(
        Args::read([OsString::from("rtmpdump")]).unwrap().stream,
        None
    );
}

#[test]
fn version_is_printed() {
    let NoDownload::Stdout(version) = read(&["--version"]).unwrap_err() else {
        panic!()
    };
    assert_eq!(
        version,
        concat!("rtmpull ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn rtmpdump_letters_and_names_are_accepted() {
    let letters = "-r R -v -a A -y Y -t T -s S -p P -f F -d D -C N:1 -b 5 -m 6 -o O -V";
    let names = "--rtmp R --live --app A --playpath Y --tcUrl T --swfUrl S --pageUrl P \
                 --flashVer F --subscribe D --conn N:1 --buffer 5 --timeout 6 --flv O --verbose";
    let equals = "--rtmp=R --live --app=A --playpath=Y --tcUrl=T --swfUrl=S --pageUrl=P \
                  --flashVer=F --subscribe=D --conn=N:1 --buffer=5 --timeout=6 --flv=O --verbose";
    for line in [letters, names, equals] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let args = read(&arguments).unwrap();
        assert_eq!(args.rtmp.as_deref(), Some("R"));
        assert!(args.live);
        assert_eq!(args.app.as_deref(), Some("A"));
        assert_eq!(args.playpath.as_deref(), Some("Y"));
        assert_eq!(args.connect.tc_url.as_deref(), Some("T"));
        assert_eq!(args.connect.swf_url.as_deref(), Some("S"));
        assert_eq!(args.connect.page_url.as_deref(), Some("P"));
        assert_eq!(args.connect.flash_ver.as_deref(), Some("F"));
        assert_eq!(args.connect.subscribe.as_deref(), Some("D"));
        assert_eq!(args.connect.conn, ["N:1"]);
        assert_eq!((args.connection.buffer, args.timeout), (Some(5), Some(6)));
        assert_eq!(args.flv, Some(PathBuf::from("O")));
        assert_eq!(args.verbosity(), Verbosity::Verbose);
    }
}

#[test]
fn repeated_options_replace_and_operands_may_be_anywhere() {
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
    assert_eq!(args.stream.as_deref(), Some("rtmp://h/a/b"));
    assert_eq!(args.flv, Some(PathBuf::from("-")));
    assert_eq!(args.connect.conn, ["O:1", "O:0"]);
    assert_eq!(args.timeout, Some(2));
    assert!(args.live);
}

#[test]
fn values_may_start_with_a_hyphen() {
    let args = read(&["-r", "-r", "-y", "-v", "-C", "-", "-o", "-q"]).unwrap();
    assert_eq!(args.rtmp.as_deref(), Some("-r"));
    assert_eq!(args.playpath.as_deref(), Some("-v"));
    assert_eq!(args.verbosity(), Verbosity::Normal);
    assert!(!args.live);
}

#[test]
fn the_last_verbosity_applies() {
    let verbosity = |flags: &[&str]| read(&[&["u"], flags].concat()).unwrap().verbosity();
    assert_eq!(verbosity(&[]), Verbosity::Normal);
    assert_eq!(verbosity(&["-q"]), Verbosity::Quiet);
    assert_eq!(verbosity(&["-q", "-V"]), Verbosity::Verbose);
    assert_eq!(verbosity(&["-V", "-z"]), Verbosity::Debug);
    assert_eq!(verbosity(&["-zVq"]), Verbosity::Quiet);
    assert_eq!(verbosity(&["--quiet", "--debug"]), Verbosity::Debug);
}

#[test]
fn usage_errors_are_one_line() {
    let cases: [(&[&str], &str); 26] = [
        (
            &["-r", "a", "b"],
            "the argument '--rtmp <URL>' cannot be used with '[URL]'",
        ),
        (
            &["b", "-i", "a"],
            "the argument '[URL]' cannot be used with '--url <TEXT>'",
        ),
        (
            &["a", "b"],
            "unexpected argument 'b' found; to record several streams, use --streams",
        ),
        (
            &["-v", "a", "b c"],
            "unexpected argument 'b c' found; to record several streams, use --streams",
        ),
        (
            &["a", "--swfurl", "b"],
            "unexpected argument '--swfurl' found; did you mean '--swfUrl'?",
        ),
        (
            &["a", "--segmenttime", "b"],
            "unexpected argument '--segmenttime' found; did you mean '--segment-time'?",
        ),
        (
            &["a", "--xyz"],
            "unexpected argument '--xyz' found (try --help)",
        ),
        (&["a", "-Q"], "unexpected argument '-Q' found (try --help)"),
        (
            &["a", "--fl", "b"],
            "--fl is ambiguous: it may mean --flashVer or --flv",
        ),
        (
            &["a", "-m"],
            "a value is required for '--timeout <SECONDS>' but none was supplied",
        ),
        (
            &["a", "-m", "soon"],
            "invalid value 'soon' for '--timeout <SECONDS>': not a whole number from 0 to 4294967295",
        ),
        (
            &["a", "-b", "-5"],
            "invalid value '-5' for '--buffer <MS>': not a whole number from 0 to 4294967295",
        ),
        (
            &["a", "--progress", "jsn"],
            "invalid value 'jsn' for '--progress <KIND>' [possible values: bar, lines, json, none]; \
             did you mean 'json'?",
        ),
        (
            &["a", "--handshake", "x"],
            "invalid value 'x' for '--handshake <KIND>' [possible values: auto, plain, digest]",
        ),
        (
            &["a", "-l", "6"],
            "invalid value '6' for '--protocol <NAME>': not one of rtmp, rtmpt, rtmpe, rtmpte, \
             rtmps and rtmpts, or their numbers 0 to 5",
        ),
        (
            &["a", "-c", "65536"],
            "invalid value '65536' for '--port <PORT>': not a whole number from 0 to 65535",
        ),
        (
            &["a", "-S", "proxy:x"],
            "invalid value 'proxy:x' for '--socks <HOST[:PORT]>': \
             not a host name or address",
        ),
        (
            &["a", "-A", "-1"],
            "invalid value '-1' for '--start <TIME>': not a number of seconds from 0 to 4294967 \
             or a duration such as 1h30m",
        ),
        (
            &["a", "-B", "1:00"],
            "invalid value '1:00' for '--stop <TIME>': not a number of seconds from 0 to 4294967 \
             or a duration such as 1h30m",
        ),
        (
            &["a", "-k", "-1"],
            "invalid value '-1' for '--skip <KEYFRAMES>': not a whole number from 0 to 4294967295",
        ),
        (
            &["a", "-w", "abc"],
            "invalid value 'abc' for '--swfhash <HEX>': not a hash of 64 hex digits",
        ),
        (
            &["a", "-x", "0"],
            "invalid value '0' for '--swfsize <BYTES>': not a whole number from 1 to 4294967295",
        ),
        (
            &["a", "-X", "-1"],
            "invalid value '-1' for '--swfAge <DAYS>': not a whole number from 0 to 4294967295",
        ),
        (
            &["a", "--queue-size", "0"],
            "invalid value '0' for '--queue-size <SIZE>': must be greater than 0",
        ),
        (
            &["a", "--live=1"],
            "unexpected value '1' for '--live' found; no more were expected",
        ),
        (
            &["--generate", "x"],
            "invalid value 'x' for '--generate <WHAT>' [possible values: man, complete-bash, \
             complete-zsh, complete-fish, complete-powershell]",
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(usage(arguments), expected, "{arguments:?}");
        assert_eq!(read(arguments).unwrap_err().exit(), Exit::Failure);
    }
}

/// Options of rtmpdump, in the order of its manual: letter, long name, whether a value follows.
const RTMPDUMPS: [(&str, &str, bool); 36] = [
    ("h", "help", false),
    ("r", "rtmp", true),
    ("i", "url", true),
    ("n", "host", true),
    ("c", "port", true),
    ("S", "socks", true),
    ("l", "protocol", true),
    ("a", "app", true),
    ("t", "tcUrl", true),
    ("p", "pageUrl", true),
    ("s", "swfUrl", true),
    ("f", "flashVer", true),
    ("u", "auth", true),
    ("C", "conn", true),
    ("y", "playpath", true),
    ("Y", "playlist", false),
    ("v", "live", false),
    ("d", "subscribe", true),
    ("R", "realtime", false),
    ("o", "flv", true),
    ("e", "resume", false),
    ("k", "skip", true),
    ("A", "start", true),
    ("B", "stop", true),
    ("b", "buffer", true),
    ("m", "timeout", true),
    ("T", "token", true),
    ("j", "jtv", true),
    ("w", "swfhash", true),
    ("x", "swfsize", true),
    ("W", "swfVfy", true),
    ("X", "swfAge", true),
    ("#", "hashes", false),
    ("q", "quiet", false),
    ("V", "verbose", false),
    ("z", "debug", false),
];

#[test]
fn every_option_of_rtmpdump_exists() {
    let command = Args::command();
    for (letter, name, takes_value) in RTMPDUMPS {
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name))
            .unwrap_or_else(|| panic!("no --{name}"));
        assert_eq!(
            arg.get_short().map(String::from).as_deref(),
            Some(letter),
            "--{name}"
        );
        assert_eq!(arg.get_action().takes_values(), takes_value, "--{name}");
    }
    let names = RTMPDUMPS.map(|(_, name, _)| name);
    assert_eq!(abbreviations::RTMPDUMPS_NAMES, names);
}

#[test]
fn front_ends_may_repeat_options() {
    let line = "--verbose -r rtmp://h/a/b -o f --resume --skip 1 --resume --skip 1 --live --live \
                -# -R -Y -e -V --conn O:1 --conn O:0";
    let args = read(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert!(args.resume && args.hashes && args.connection.realtime && args.connect.playlist);
    assert_eq!((args.skip, args.connect.conn.len()), (Some(1), 2));
}

#[test]
fn rtmpdump_prints_help_to_standard_error() {
    let helped = |program: &str, option: &str| {
        let line = [program, option].map(OsString::from);
        Args::read(line).unwrap_err()
    };
    for option in ["-h", "--help"] {
        let NoDownload::Stderr(help) = helped("/bin/rtmpdump", option) else {
            panic!("help is not for standard error");
        };
        assert!(help.starts_with("--rtmp|-r url "), "{help}");
        assert!(matches!(helped("rtmpull", option), NoDownload::Stdout(_)));
    }
}

#[test]
fn output_is_another_name_of_flv() {
    for line in [
        &["u", "--output", "-x"][..],
        &["u", "--outp=-x"],
        &["u", "-o-x"],
    ] {
        assert_eq!(
            read(line).unwrap().flv,
            Some(PathBuf::from("-x")),
            "{line:?}"
        );
    }
}

#[test]
fn on_part_is_a_hidden_alias_of_on_segment() {
    for option in ["--on-segment", "--on-part"] {
        let args = read(&["rtmp://h/a/b", option, "program"]).unwrap();
        assert_eq!(
            args.hooks.on_segment.as_deref(),
            Some("program"),
            "{option}"
        );
    }
    let NoDownload::Stdout(help) = read(&["--help"]).unwrap_err() else {
        panic!("help is printed");
    };
    assert!(!help.contains("on-part"), "{help}");
}

#[test]
fn the_last_password_option_applies() {
    let args = read(&["u", "--password", "a", "--password-file", "b"]).unwrap();
    assert_eq!(
        (
            args.credentials.password,
            args.credentials.password_file.is_some()
        ),
        (None, true)
    );
    let args = read(&["u", "--password-file", "b", "--password", "a"]).unwrap();
    assert_eq!(
        (
            args.credentials.password.as_deref(),
            args.credentials.password_file
        ),
        (Some("a"), None)
    );
}

#[test]
fn overwrite_excludes_append_and_resume() {
    for option in ["--append", "--resume"] {
        let message = usage(&["rtmp://h/a/b", "--overwrite", option]);
        let expected = format!("cannot be used with '{option}'");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn repair_excludes_download_options() {
    let args = read(&["-q", "--repair", "a", "b", "--log-file", "log", "-o", "c"]).unwrap();
    assert_eq!(args.repair, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(args.flv, Some(PathBuf::from("c")));
    for line in [
        &["rtmp://h/a/b", "--repair", "a"][..],
        &["--repair", "a", "-v"],
        &["-r", "rtmp://h/a/b", "--repair", "a"],
        &["--repair", "a", "--sync", "1"],
        &["--repair", "a", "--resume"],
    ] {
        let why = usage(line);
        assert!(
            why.starts_with("--repair downloads nothing: it cannot be used with "),
            "{why}"
        );
    }
    assert!(usage(&["--repair"]).contains("--repair"));
    assert!(usage(&["--repair", "a", "--remux", "b"]).contains("--remux"));
    assert!(read(&["rtmp://h/a/b"]).unwrap().repair.is_empty());
}

#[test]
fn remux_excludes_download_options() {
    let args = read(&["--remux", "a.flv", "-o", "b.mp4", "--segment-time", "1m"]).unwrap();
    assert_eq!(args.conversion.remux, [PathBuf::from("a.flv")]);
    let args = read(&["--remux", "-", "-o", "-"]).unwrap();
    assert_eq!(args.conversion.remux, [PathBuf::from("-")]);
    for line in [
        &["rtmp://h/a/b", "--remux", "a"][..],
        &["--remux", "a", "-v"],
        &["--remux", "a", "--append"],
        &["--remux", "a", "--until", "20:00"],
    ] {
        let why = usage(line);
        assert!(
            why.starts_with("--remux downloads nothing: it cannot be used with "),
            "{why}"
        );
    }
}

#[test]
fn options_allowed_with_remux_exist() {
    let command = Args::command();
    let ids: Vec<_> = command
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .collect();
    for id in ALLOWED_WITH_REMUX {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn probe_takes_sources_before_and_after_it() {
    let sources = |line: &[&str]| {
        let args = read(line).unwrap();
        (args.stream, args.probe.probe.unwrap())
    };
    let url = |url: &str| Source::Url(url.to_owned());
    assert_eq!(
        sources(&["--probe", "rtmp://h/a/b", "--json"]),
        (None, vec![url("rtmp://h/a/b")])
    );
    assert_eq!(
        sources(&["--probe", "rtmp://h/a/b", "file.flv"]),
        (
            None,
            vec![url("rtmp://h/a/b"), Source::File("file.flv".into())]
        )
    );
    assert_eq!(
        sources(&["rtmp://h/a/b", "--probe"]),
        (Some("rtmp://h/a/b".to_owned()), Vec::new())
    );
    assert!(!read(&["rtmp://h/a/b"]).unwrap().probe.is_requested());
}

#[test]
fn probe_excludes_options_of_recordings() {
    for line in [
        &["--probe", "rtmp://h/a/b", "-o", "a.flv"][..],
        &["--probe", "rtmp://h/a/b", "--segment-time", "1m"],
        &["--probe", "rtmp://h/a/b", "--wait"],
        &["--probe", "a.flv", "--repair", "b.flv"],
        &["--probe", "a.flv", "--progress", "json"],
    ] {
        let why = usage(line);
        let expected = "--probe records nothing: it cannot be used with ";
        assert!(why.starts_with(expected), "{why}");
    }
    for line in [
        &["rtmp://h/a/b", "--json"][..],
        &["rtmp://h/a/b", "--nagios"],
        &["rtmp://h/a/b", "--expect", "video.height=1"],
        &["--probe", "rtmp://h/a/b", "--json", "--nagios"],
        &["--probe", "rtmp://h/a/b", "--probe-time", "soon"],
    ] {
        usage(line);
    }
}

#[test]
fn options_allowed_with_probe_exist() {
    let command = Args::command();
    let ids: Vec<_> = command
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .collect();
    for id in ALLOWED_WITH_PROBE {
        assert!(ids.contains(&id), "{id}");
    }
}
