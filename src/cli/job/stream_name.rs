//! File names derived from the stream.

use std::path::Path;

use crate::download::Candidate;

/// Host, app and name of the stream, as they may occur in file names.
#[derive(Debug)]
pub(super) struct StreamName {
    host: String,
    app: String,
    stream: String,
}

impl StreamName {
    pub(super) fn new(host: &str, candidate: &Candidate) -> Self {
        Self {
            host: cleaned(host),
            app: cleaned(without_query(&candidate.app)),
            stream: cleaned(base_name(&candidate.playpath)),
        }
    }

    /// Returns the names for a stream that is read from a file.
    pub(super) fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            host: cleaned(""),
            app: cleaned(""),
            stream: cleaned(path_stem(&name)),
        }
    }

    /// Returns the default name of the output file.
    pub(super) fn file_name(&self) -> String {
        format!("{}.flv", self.stream)
    }

    /// Replaces `{host}`, `{app}` and `{stream}` in the name of a file.
    pub(super) fn insert_into(&self, name: &str) -> String {
        let fields = [
            ("{host}", &self.host),
            ("{app}", &self.app),
            ("{stream}", &self.stream),
        ];
        fields.iter().fold(name.to_owned(), |name, (field, value)| {
            name.replace(field, value)
        })
    }
}

/// Returns the last part of a playpath without prefix, query and extension: `clip` of
/// `mp4:folder/clip.mp4?key=value`.
fn base_name(playpath: &str) -> &str {
    let path = without_query(playpath);
    let path = path.split_once(':').map_or(path, |(_, path)| path);
    let name = path.trim_end_matches('/').rsplit('/').next();
    path_stem(name.unwrap_or_default())
}

/// Returns the name of a file without the extension of a media file.
fn path_stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if EXTENSIONS.contains(&extension) => stem,
        _ => name,
    }
}

fn without_query(text: &str) -> &str {
    text.split(['?', '&', ';', '#']).next().unwrap_or_default()
}

/// Returns `text` as a name that all file systems accept. It never starts with a dot or a hyphen, so that the
/// file is neither hidden nor taken for an option.
fn cleaned(text: &str) -> String {
    let is_allowed = |c: char| c.is_alphanumeric() || "-_.+,=@ ()[]".contains(c);
    let replaced = |c| if is_allowed(c) { c } else { '_' };
    let name: String = text.chars().take(MAX_LENGTH).map(replaced).collect();
    let name = name.trim_matches([' ', '.']).trim_start_matches('-');
    match name {
        "" => "stream".to_owned(),
        // Device names of Windows, with or without an extension.
        _ if is_device(name) => format!("_{name}"),
        _ => name.to_owned(),
    }
}

fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let is_numbered = |device| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|number| number.len() == 1 && number.parse::<u8>().is_ok())
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || is_numbered("COM")
        || is_numbered("LPT")
}

/// Extensions of media files, which `.flv` replaces.
const EXTENSIONS: [&str; 8] = ["flv", "mp4", "f4v", "m4v", "mov", "mp3", "m4a", "aac"];

/// Characters of a name. File systems accept 255 bytes, and a character has up to four.
const MAX_LENGTH: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str, app: &str, playpath: &str) -> StreamName {
        let candidate = Candidate {
            app: app.to_owned(),
            playpath: playpath.to_owned(),
            tc_url: String::new(),
        };
        StreamName::new(host, &candidate)
    }

    #[test]
    fn the_default_name_is_that_of_the_stream() {
        for (playpath, expected) in [
            ("clip", "clip.flv"),
            ("mp4:folder/clip.mp4?x=y", "clip.flv"),
            ("clip.v2", "clip.v2.flv"),
            ("a/../../etc/passwd", "passwd.flv"),
            ("..", "stream.flv"),
            ("-rf", "rf.flv"),
            ("", "stream.flv"),
            ("?key=x", "stream.flv"),
            ("a<b>|c\\d\"e*f%g\u{1b}\u{10ffe9}", "a_b__c_d_e_f_g__.flv"),
            ("caf\u{e9} (1)", "caf\u{e9} (1).flv"),
            ("nul.mp4", "_nul.flv"),
            ("com1", "_com1.flv"),
            ("common", "common.flv"),
        ] {
            assert_eq!(
                names("h", "a", playpath).file_name(),
                expected,
                "{playpath}"
            );
        }
        assert!(names("h", "a", &"é".repeat(500)).file_name().len() < 255);
    }

    #[test]
    fn the_stream_is_named_after_the_input_file() {
        for (path, expected) in [
            ("folder/cam.flv", "cam.flv"),
            ("a?b:c.flv", "a_b_c.flv"),
            ("cam.2026", "cam.2026.flv"),
            ("", "stream.flv"),
            ("..", "stream.flv"),
        ] {
            let names = StreamName::of_file(Path::new(path));
            assert_eq!(names.file_name(), expected, "{path}");
        }
    }

    #[test]
    fn fields_are_replaced_in_names() {
        let names = names("::1", "live/inst?key=x", "mp4:cam.mp4");
        let cases = [
            ("{host}-{app}-{stream}.flv", "__1-live_inst-cam.flv"),
            ("{stream}/{stream}", "cam/cam"),
            ("{other}", "{other}"),
        ];
        for (name, expected) in cases {
            assert_eq!(names.insert_into(name), expected);
        }
    }
}
