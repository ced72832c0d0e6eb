//! ffmpeg as encoder, publisher, player, server and reference demuxer.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use super::{find_program, folder, free_port};
use crate::process::{Finished, Process};

/// Installed ffmpeg.
pub struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// Finds the ffmpeg and ffprobe of the system.
    pub fn find() -> Option<Self> {
        find_program("ffprobe")?;
        find_program("ffmpeg").map(|program| Self { program })
    }

    /// Finds the ffmpeg from PyPI, which supports Enhanced RTMP.
    pub fn find_recent() -> Option<Self> {
        let program = folder().join("ffmpeg");
        program.is_file().then_some(Self { program })
    }

    /// Runs ffmpeg to its end; it only prints errors.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        Process::start(self.command().args(arguments)).finish(RUN_LIMIT)
    }

    /// Starts to publish `clip` to `url` at twice its speed.
    pub fn publish(&self, clip: &Path, url: &str) -> Process {
        let mut command = self.command();
        command.args(["-readrate", "2", "-i"]).arg(clip);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", url]);
        Process::start(&mut command)
    }

    /// Starts to publish a test picture and a tone of about 100 kbit/s to `url`. Each `seed` has different pictures.
    #[cfg(target_os = "linux")]
    pub fn publish_test_picture(&self, url: &str, seed: u64) -> Process {
        let mut command = self.command();
        let picture = format!("testsrc=s=160x120:r=10,noise=alls=8:allf=t:all_seed={seed}");
        command.args(["-re", "-f", "lavfi", "-i", &picture]);
        command.args(["-re", "-f", "lavfi", "-i", "sine=r=22050"]);
        command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "20"]);
        command.args(["-b:v", "70k", "-maxrate", "70k", "-bufsize", "70k"]);
        command.args(["-c:a", "aac", "-b:a", "24k", "-f", "flv", url]);
        Process::start(&mut command)
    }

    /// Panics unless ffmpeg decodes `file` without errors and with increasing picture times.
    #[track_caller]
    pub fn assert_plays(&self, file: &Path) {
        let arguments = ["-xerror", "-i"].map(AsRef::as_ref).into_iter();
        let arguments = arguments.chain([file.as_os_str()]);
        let finished = self.run(arguments.chain(SINK.map(AsRef::as_ref)));
        let finished = finished.succeeded();
        assert_eq!(finished.stderr, "", "ffmpeg on {}", file.display());
    }

    /// Returns codec and picture size of each stream in `file`, sorted: `aac`, `h264 320x180`.
    #[track_caller]
    pub fn streams(&self, file: &Path) -> Vec<String> {
        let mut command = Command::new(&self.program);
        let finished = Process::start(command.arg("-i").arg(file)).finish(RUN_LIMIT);
        let lines = finished
            .stderr
            .lines()
            .filter(|line| line.contains("Stream #"));
        let streams = lines.map(|line| {
            let is_fact = |word: &&str| {
                word.contains('x')
                    && word.starts_with(|c: char| c.is_ascii_digit())
                    && !word.starts_with("0x")
            };
            let mut words = line.split([' ', ',', ':']).filter(|word| !word.is_empty());
            let codec = words
                .by_ref()
                .skip_while(|word| !matches!(*word, "Video" | "Audio"))
                .nth(1);
            let size = words.find(is_fact);
            let facts = codec.into_iter().chain(size);
            facts.collect::<Vec<_>>().join(" ")
        });
        let mut streams: Vec<_> = streams.collect();
        streams.sort();
        streams
    }

    /// Starts a server that sends `clip` to one client at twice its speed; returns its URL.
    pub fn listen(&self, clip: &Path) -> (Process, String) {
        let port = free_port();
        (self.listen_on(port, clip), Self::listen_url(port))
    }

    /// Starts a server as `listen` does, on this port.
    pub fn listen_on(&self, port: u16, clip: &Path) -> Process {
        let url = Self::listen_url(port);
        let mut command = self.command();
        command.args(["-readrate", "2", "-i"]).arg(clip);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", "-listen", "1", &url]);
        let process = Process::start(&mut command);
        wait_for_listener(port);
        process
    }

    /// Returns the URL of a server on `port`.
    pub fn listen_url(port: u16) -> String {
        format!("rtmp://127.0.0.1:{port}/listen/clip")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]);
        command
    }
}

/// Runs ffprobe, which only prints errors.
pub fn ffprobe(arguments: &[&str], file: &Path) -> Finished {
    let program = find_program("ffprobe").expect("ffprobe comes with ffmpeg");
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-loglevel", "error"]);
    Process::start(command.args(arguments).arg(file)).finish(RUN_LIMIT)
}

/// Waits until a process listens on `port`, without connecting, because ffmpeg serves only one
/// client.
fn wait_for_listener(port: u16) {
    let listens = format!("0100007F:{port:04X} 00000000:0000 0A");
    for _ in 0..100 {
        match fs::read_to_string("/proc/net/tcp") {
            Ok(sockets) if sockets.contains(&listens) => return,
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Null output with a time base of 1 ms, because two frames may share a tick of the frame rate.
/// Audio times are recomputed, because overlapping audio frames are not tested here.
const SINK: [&str; 7] = [
    "-enc_time_base",
    "1:1000",
    "-af",
    "asetpts=N/SR/TB",
    "-f",
    "null",
    "-",
];

/// Time limit to encode or demux a short clip.
const RUN_LIMIT: Duration = Duration::from_secs(60);
