//! Expands abbreviated long options, as GNU getopt does.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::no_download::NoDownload;

/// Expands each abbreviated long option in `line`. Options of rtmpdump take precedence, so that every
/// abbreviation that rtmpdump accepts stays unique. `--wait 60` becomes `--wait=60`.
pub(super) fn expand(command: &Command, line: Vec<OsString>) -> Result<Vec<OsString>, NoDownload> {
    let mut line = line.into_iter().peekable();
    let mut out: Vec<OsString> = line.next().into_iter().collect();
    while let Some(word) = line.next() {
        let word = match word.to_str().and_then(|word| word.strip_prefix("--")) {
            Some(option) => in_full(command, option)?.unwrap_or(word),
            None => word,
        };
        if word == END_OF_OPTIONS {
            out.push(word);
            out.extend(line);
            break;
        }
        if let Some(value) = line.next_if(|next| word == WAIT && is_wait_value(next)) {
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

/// Expands the text after the hyphens to `--name` or `--name=value`. `None` if no name starts with it.
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
            "--{start} is ambiguous: it may mean --{}",
            names.join(" or --")
        ))),
    }
}

fn longs(command: &Command) -> impl Iterator<Item = &str> {
    let names = command
        .get_arguments()
        .map(Arg::get_long_and_visible_aliases);
    names.flatten().flatten()
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

/// Returns whether `word` is the value of `--wait` before it: neither an option nor a URL.
fn is_wait_value(word: &OsString) -> bool {
    word.to_str()
        .is_some_and(|word| !word.starts_with('-') && !word.contains("://"))
}

/// Option with an optional value. clap only reads one after `=`, since it would take the URL for it.
const WAIT: &str = "--wait";

/// Marks all further words as operands.
const END_OF_OPTIONS: &str = "--";

/// Long options of rtmpdump.
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
    fn unique_abbreviations_are_expanded() {
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
            ("--keep-t", "--keep-timestamps"),
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
    fn the_value_of_wait_may_follow_as_a_word() {
        let cases = [
            (&["--wait", "60", "x"][..], &["--wait=60", "x"][..]),
            (&["--wai", "1h30m"], &["--wait=1h30m"]),
            (
                &["--wait", "soon", "rtmp://h/a/b"],
                &["--wait=soon", "rtmp://h/a/b"],
            ),
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
    fn ambiguous_abbreviations_are_errors() {
        let cases = [
            ("--fl", "--fl is ambiguous: it may mean --flashVer or --flv"),
            (
                "--play=x",
                "--play is ambiguous: it may mean --playlist or --playpath",
            ),
            (
                "--swf",
                "--swf is ambiguous: it may mean --swfAge or --swfUrl or --swfVfy or --swfhash or --swfsize",
            ),
            (
                "--pass",
                "--pass is ambiguous: it may mean --password or --password-file",
            ),
        ];
        for (word, expected) in cases {
            assert_eq!(expand(&[word]).unwrap_err(), expected);
        }
    }

    #[test]
    fn values_and_operands_are_not_expanded() {
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
