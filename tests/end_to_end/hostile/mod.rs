//! Hostile peers, broken networks and unwritable outputs.
//!
//! In every case, a download ends in time with its exit code and ending word, names the cause in
//! one line without control characters, and keeps every complete received tag. If no media arrived,
//! an existing file is unchanged.

/// Invalid handshakes.
mod handshakes;

/// Invalid chunks.
mod chunks;

/// Invalid AMF values.
mod values;

/// Invalid media.
mod media;

/// Text with terminal escapes.
mod text;

/// Silent peers, and peers without media.
mod silence;

/// Ends before any media.
mod no_media;

/// Closed and reset connections.
mod cuts;

/// Redirects.
mod redirects;

/// HTTP servers without RTMPT, and faulty tunnels.
mod tunnels;

/// Probes.
mod probes;

/// Verdicts of probes.
mod verdicts;

/// Unwritable outputs.
#[cfg(unix)]
mod outputs;

/// Signals of the user.
#[cfg(unix)]
mod signals;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use rtmpull::core::{
    amf::{Object, Value, amf0},
    rtmp::message::Kind,
};
use tempfile::TempDir;

use crate::{
    parallel,
    process::{Finished, Process, ending, without_time},
    server::{Clip, Connection, Disconnected, ScriptedPeer, Tag},
};

/// Command `rtmpull URL -o FILE` before its start. The file has content.
struct Invocation {
    command: Command,
    folder: TempDir,
    output: PathBuf,
}

/// Running `rtmpull URL -o FILE`.
struct Running {
    process: Process,
    folder: TempDir,
    output: PathBuf,
}

/// Finished `rtmpull URL -o FILE`.
struct Ended {
    finished: Finished,
    _folder: TempDir,
    output: PathBuf,
}

impl Invocation {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.flv");
        fs::write(&output, OLD_CONTENT).expect("the file can be written");
        let mut command = crate::program::command();
        command.arg(url);
        Self {
            command,
            folder,
            output,
        }
    }

    /// Adds options.
    fn options<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.command.args(options);
        self
    }

    /// Sets the output; a relative path is resolved in the temporary folder.
    fn into(mut self, file: impl AsRef<Path>) -> Self {
        self.output = self.folder.path().join(file);
        self
    }

    /// Sets the output to a new file.
    fn into_new_file(self) -> Self {
        self.into("new.flv")
    }

    fn start(mut self) -> Running {
        self.command.arg("-o").arg(&self.output);
        Running {
            process: Process::start(&mut self.command),
            folder: self.folder,
            output: self.output,
        }
    }

    #[track_caller]
    fn run(self) -> Ended {
        self.start().finish()
    }
}

impl Running {
    #[track_caller]
    fn finish(self) -> Ended {
        Ended {
            finished: self.process.finish(LIMIT),
            _folder: self.folder,
            output: self.output,
        }
    }
}

impl Ended {
    /// Panics unless the program ended with this exit code, with `word` and `cause` in its last
    /// line and no other error or warning.
    #[track_caller]
    fn assert_ended(&self, code: i32, word: &str, cause: &str) -> &Self {
        self.assert_ended_with_warnings(code, word, cause, &[])
    }

    /// Panics unless the program ended like this and printed exactly these warnings before its last
    /// line. Each text is the start of a warning.
    #[track_caller]
    fn assert_ended_with_warnings(
        &self,
        code: i32,
        word: &str,
        cause: &str,
        warnings: &[&str],
    ) -> &Self {
        assert_eq!(self.finished.code(), Some(code), "{}", self.finished);
        let stderr = &self.finished.stderr;
        let level = ["INFO", "ERROR", "WARNING", "ERROR"][code as usize];
        let (last_level, last_word, reason) = ending(stderr);
        assert!(
            (last_level, last_word) == (level, word) && reason.contains(cause),
            "the last line is not \"{level}: {word}: …{cause}…\": {stderr}"
        );
        let is_trouble = |line: &&str| line.starts_with("ERROR") || line.starts_with("WARNING");
        let texts = stderr
            .lines()
            .map(|line| without_time(line).unwrap_or(line));
        let mut lines: Vec<_> = texts.filter(is_trouble).collect();
        if code > 0 {
            lines.pop();
        }
        let is_expected = |(line, text): (&&str, &&str)| {
            line.strip_prefix("WARNING: ")
                .is_some_and(|line| line.starts_with(text))
        };
        assert!(
            lines.len() == warnings.len() && lines.iter().zip(warnings).all(is_expected),
            "ERROR and WARNING lines in {stderr}"
        );
        self.assert_safe_output()
    }

    /// Panics if the program panicked or printed control characters.
    #[track_caller]
    fn assert_safe_output(&self) -> &Self {
        let stderr = &self.finished.stderr;
        assert!(!stderr.contains("panicked"), "{stderr}");
        let is_raw = |c: char| c.is_control() && !"\r\n\t".contains(c);
        let is_bidi = |c: char| ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
        assert!(!stderr.contains(|c| is_raw(c) || is_bidi(c)), "{stderr:?}");
        self
    }

    /// Panics unless the program ended within `limit`.
    #[track_caller]
    fn assert_within(&self, limit: Duration) -> &Self {
        assert!(self.finished.took < limit, "{}", self.finished);
        self
    }

    /// Panics if the file changed.
    #[track_caller]
    fn assert_unchanged(&self) {
        let file = fs::read(&self.output).expect("the file exists");
        assert!(file == OLD_CONTENT, "the file changed");
    }

    /// Panics if the file exists.
    #[track_caller]
    fn assert_no_file(&self) {
        assert!(!self.output.exists(), "the file exists");
    }

    /// Returns the tags after `onMetaData`. Panics unless the file consists of complete tags.
    #[track_caller]
    fn tags(&self) -> Vec<Tag> {
        let mut tags = Clip::read(&self.output).tags;
        let metadata = tags.remove(0);
        assert!(metadata.body.starts_with(b"\x02\0\x0aonMetaData"));
        tags
    }

    /// Returns the members of the file's `onMetaData`.
    #[track_caller]
    fn metadata(&self) -> Object {
        let body = Clip::read(&self.output).tags.swap_remove(0).body;
        let (values, error) = amf0::decode_all(body.into());
        assert_eq!(error, None);
        let members = values.get(1).and_then(Value::as_object);
        members.expect("a name and an array").clone()
    }

    /// Panics unless the file has exactly the received tags.
    #[track_caller]
    fn assert_tags(&self, received: &[Tag]) {
        self.assert_tags_with_metadata(received, 0);
    }

    /// Panics unless the file has the `received` tags and `later` metadata tags.
    #[track_caller]
    fn assert_tags_with_metadata(&self, received: &[Tag], later: usize) {
        let is_metadata = |tag: &Tag| tag.body.starts_with(b"\x02\0\x0aonMetaData");
        let (metadata, kept): (Vec<_>, Vec<_>) = self.tags().into_iter().partition(is_metadata);
        assert_eq!(metadata.len(), later, "metadata tags after the first one");
        assert_eq!(kept.len(), received.len(), "tags in the file");
        let pairs = kept.iter().zip(received).enumerate();
        for (index, (kept, received)) in pairs {
            assert!(
                kept == received,
                "tag {index} differs from the received tag"
            );
        }
    }
}

/// Sets the output to a new FIFO.
#[cfg(unix)]
fn into_fifo(invocation: Invocation) -> Invocation {
    let invocation = invocation.into("fifo");
    let made = Command::new("mkfifo").arg(&invocation.output).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo failed");
    invocation
}

/// Returns the audio and video tags of the sample without the end-of-sequence tag.
fn sample_media() -> Vec<Tag> {
    Clip::sample().media_with_content().cloned().collect()
}

/// Starts a peer that plays, sends the first `count` tags of [`sample_media`], and then runs
/// `then`.
fn playing_peer(
    count: usize,
    then: impl Fn(&mut Connection) -> Result<(), Disconnected> + Send + Sync + 'static,
) -> ScriptedPeer {
    ScriptedPeer::start(move |peer, _| {
        peer.start_playing();
        let _ = send_tags(peer, &sample_media()[..count])
            .and_then(|()| then(peer))
            .and_then(|()| peer.wait_for_close::<()>());
    })
}

fn send_tags(peer: &mut Connection, tags: &[Tag]) -> Result<(), Disconnected> {
    for tag in tags {
        let chunk_stream = u32::from(tag.kind) - 2;
        peer.queue(chunk_stream, Kind(tag.kind), 1, tag.timestamp_ms, &tag.body)?;
    }
    peer.flush()
}

fn send_metadata(peer: &mut Connection, metadata: Object) -> Result<(), Disconnected> {
    let mut payload = Vec::new();
    amf0::encode(&"onMetaData".into(), &mut payload);
    amf0::encode(&metadata.into(), &mut payload);
    peer.queue(4, Kind::DATA, 1, 0, &payload)?;
    peer.flush()
}

/// Initial content of an output file.
const OLD_CONTENT: &[u8] = b"existing content";

/// Time limit of a download, longer than all timeouts that tests wait for.
const LIMIT: Duration = Duration::from_secs(20);

/// Time limit of a download with one-second timeouts on a busy machine.
const ONE_SECOND_LIMIT: Duration = Duration::from_secs(6);

/// Sets all timeouts to one second.
pub const ONE_SECOND_TIMEOUT: [&str; 2] = ["-m", "1"];
