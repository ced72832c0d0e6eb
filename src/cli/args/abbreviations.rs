//! Long names cut short, as GNU's getopt takes them.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::{no_download::NoDownload, values::Wait};

/// `line` with each long name in full. A name of rtmpdump's is meant before one of ours, so that what
/// was clear to rtmpdump is still clear. `--wait 60` becomes `--wait=60`.
pub(super) fn expand(command: &Command, line: Vec<OsString>) -> Result<Vec<OsString>, NoDownload> {
    let mut line = line.into_iter().peekable();
    let mut out: Vec<OsString> = line.next().into_iter().collect();
    while let Some(word) = line.next() {
        let word = match word.to_str().and_then(|word| word.strip_prefix("--")) {
            Some(option) => in_full(command, option)?.unwrap_or(word),
            None => word,
        };
        if word == OPERANDS_FOLLOW {
            out.push(word);
            out.extend(line);
            break;
        }
        if let Some(value) = line.next_if(|next| word == WAIT && is_length_of_time(next)) {
            out.push([word, value].join("=".as_ref()));
            continue;
        }
        let is_followed_by_value = is_followed_by_value(command, &word);
        out.push(word);
        if is_followed_by_value {
            out.extend(line.next());
        }
    }
    Ok(out)
}

/// `--name` or `--name=value` out of what stands behind the hyphens, if it is the start of a name.
fn in_full(command: &Command, option: &str) -> Result<Option<OsString>, NoDownload> {
    let end = option.find('=').unwrap_or(option.len());
    let (start, value) = option.split_at(end);
    let named = |name: &str| Ok(Some(format!("--{name}{value}").into()));
    let mut names: Vec<&str> = longs(command)
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort_unstable();
    if names.contains(&start) {
        return named(start);
    }
    let rtmpdumps = names
        .iter()
        .copied()
        .filter(|name| RTMPDUMPS_NAMES.contains(name));
    let rtmpdumps: Vec<&str> = rtmpdumps.collect();
    match (start, names.as_slice(), rtmpdumps.as_slice()) {
        ("", ..) | (_, [], _) => Ok(None),
        (_, [name], _) | (_, _, [name]) => named(name),
        _ => Err(NoDownload::Usage(format!(
            "--{start} may mean --{} (try --help)",
            names.join(" or --")
        ))),
    }
}

fn longs(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(Arg::get_long)
}

fn is_called(arg: &Arg, name: &str) -> bool {
    arg.get_long() == Some(name) || arg.get_all_aliases().unwrap_or_default().contains(&name)
}

fn is_followed_by_value(command: &Command, word: &OsString) -> bool {
    let takes_value = |arg: &Arg| arg.get_action().takes_values();
    let find = |is: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|arg| is(arg));
    let Some(word) = word.to_str() else {
        return false;
    };
    if let Some(name) = word.strip_prefix("--") {
        return find(&|arg| is_called(arg, name)).is_some_and(takes_value);
    }
    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
    while let Some(letter) = letters.next() {
        match find(&|arg| arg.get_short() == Some(letter)) {
            Some(arg) if takes_value(arg) => return letters.next().is_none(),
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// What may be behind an option that needs no value. No URL looks like that.
fn is_length_of_time(word: &OsString) -> bool {
    word.to_str()
        .is_some_and(|word| word.parse::<Wait>().is_ok())
}

/// The option whose value may be missing. Elsewhere than behind `=` clap would take any word for it.
const WAIT: &str = "--wait";

/// Behind it nothing is an option.
const OPERANDS_FOLLOW: &str = "--";

/// The long names of rtmpdump, which stay what they are.
pub(super) const RTMPDUMPS_NAMES: [&str; 36] = [
    "help",
    "rtmp",
    "url",
    "host",
    "port",
    "socks",
    "protocol",
    "app",
    "tcUrl",
    "pageUrl",
    "swfUrl",
    "flashVer",
    "auth",
    "conn",
    "playpath",
    "playlist",
    "live",
    "subscribe",
    "realtime",
    "flv",
    "resume",
    "skip",
    "start",
    "stop",
    "buffer",
    "timeout",
    "token",
    "jtv",
    "swfhash",
    "swfsize",
    "swfVfy",
    "swfAge",
    "hashes",
    "quiet",
    "verbose",
    "debug",
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Args;

    fn expand(line: &[&str]) -> Result<Vec<String>, String> {
        let words = ["program"].iter().chain(line).map(OsString::from).collect();
        match super::expand(&Args::command(), words) {
            Ok(line) => Ok(line
                .into_iter()
                .skip(1)
                .map(|word| word.into_string().unwrap())
                .collect()),
            Err(NoDownload::Usage(why)) => Err(why),
            Err(answer) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn completes_what_is_clear() {
        let cases = [
            ("--rt", "--rtmp"),
            ("--rt=x=--fl", "--rtmp=x=--fl"),
            ("--url", "--url"),
            ("--u", "--url"),
            ("--us", "--user"),
            ("--ver", "--verbose"),
            ("--vers", "--version"),
            ("--pa", "--pageUrl"),
            ("--pass", "--pass"),
            ("--password", "--password"),
            ("--swfh", "--swfhash"),
            ("--ho", "--host"),
            ("--keep", "--keep-timestamps"),
            ("--swfurl", "--swfurl"),
            ("--nothing", "--nothing"),
            ("--=x", "--=x"),
            ("-fl", "-fl"),
            ("rt", "rt"),
        ];
        for (word, expected) in cases {
            match expand(&[word]) {
                Ok(line) => assert_eq!(line, [expected], "{word}"),
                Err(why) => assert!(word == "--pass", "{why}"),
            }
        }
    }

    #[test]
    fn a_value_that_may_be_missing_is_known_by_its_looks() {
        let cases = [
            (&["--wait", "60", "x"][..], &["--wait=60", "x"][..]),
            (&["--wai", "1h30m"], &["--wait=1h30m"]),
            (&["x", "--wait", "forever"], &["x", "--wait=forever"]),
            (&["--wait", "rtmp://h/a/b"], &["--wait", "rtmp://h/a/b"]),
            (&["--wait", "--live"], &["--wait", "--live"]),
            (&["--wait", "--", "60"], &["--wait", "--", "60"]),
            (&["--wait=5", "60"], &["--wait=5", "60"]),
            (&["--wait"], &["--wait"]),
        ];
        for (line, expected) in cases {
            assert_eq!(expand(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn names_what_may_be_meant() {
        let cases = [
            ("--fl", "--fl may mean --flashVer or --flv (try --help)"),
            (
                "--play=x",
                "--play may mean --playlist or --playpath (try --help)",
            ),
            (
                "--swf",
                "--swf may mean --swfAge or --swfUrl or --swfVfy or --swfhash or --swfsize (try --help)",
            ),
            (
                "--pass",
                "--pass may mean --password or --password-file (try --help)",
            ),
        ];
        for (word, expected) in cases {
            assert_eq!(expand(&[word]).unwrap_err(), expected);
        }
    }

    #[test]
    fn leaves_values_and_operands_alone() {
        let lines: [&[&str]; 6] = [
            &["-o", "--fl"],
            &["--on-part", "--fl"],
            &["-vo", "--fl"],
            &["--flv", "--fl", "-C", "--fl"],
            &["--flv=x", "x", "--", "--fl"],
            &["-q", "--rtmp", "--", "-VRf", "--"],
        ];
        for line in lines {
            assert_eq!(expand(line).unwrap(), line);
        }
        assert_eq!(
            expand(&["-oz", "--rt", "--rt"]).unwrap(),
            ["-oz", "--rtmp", "--rt"]
        );
    }
}
