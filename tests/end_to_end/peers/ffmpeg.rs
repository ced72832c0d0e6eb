//! ffmpeg: encoder, publisher, player, server, and the judge of what came out.

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

/// An ffmpeg as installed here.
pub struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// The system's ffmpeg with its ffprobe.
    pub fn find() -> Option<Self> {
        find_program("ffprobe")?;
        find_program("ffmpeg").map(|program| Self { program })
    }

    /// PyPI's ffmpeg, recent enough for Enhanced RTMP.
    pub fn find_recent() -> Option<Self> {
        let program = folder().join("ffmpeg");
        program.is_file().then_some(Self { program })
    }

    /// Runs it to its end; it is quiet but for errors.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        Process::start(self.command().args(arguments)).finish(RUN_LIMIT)
    }

    /// Starts to send `clip` to `url` at twice its speed.
    pub fn publish(&self, clip: &Path, url: &str) -> Process {
        let mut command = self.command();
        command.args(["-readrate", "2", "-i"]).arg(clip);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", url]);
        Process::start(&mut command)
    }

    /// Panics unless it decodes all of `file` without a fault, and the pictures' times go up.
    #[track_caller]
    pub fn assert_plays(&self, file: &Path) {
        let arguments = ["-xerror", "-i"].map(AsRef::as_ref).into_iter();
        let arguments = arguments.chain([file.as_os_str()]);
        let finished = self.run(arguments.chain(SINK.map(AsRef::as_ref)));
        let finished = finished.succeeded();
        assert_eq!(finished.stderr, "", "ffmpeg on {}", file.display());
    }

    /// Starts a server for one client that sends `clip` at twice its speed, and gives its URL.
    pub fn listen(&self, clip: &Path) -> (Process, String) {
        let port = free_port();
        let url = format!("rtmp://127.0.0.1:{port}/listen/clip");
        let mut command = self.command();
        command.args(["-readrate", "2", "-i"]).arg(clip);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", "-listen", "1", &url]);
        let process = Process::start(&mut command);
        wait_for_listener(port);
        (process, url)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]);
        command
    }
}

/// Runs ffprobe, quiet but for errors.
pub fn ffprobe(arguments: &[&str], file: &Path) -> Finished {
    let program = find_program("ffprobe").expect("ffprobe comes with ffmpeg");
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-loglevel", "error"]);
    Process::start(command.args(arguments).arg(file)).finish(RUN_LIMIT)
}

/// Waits until somebody listens on `port`, without connecting: that would use the one client up.
fn wait_for_listener(port: u16) {
    let listens = format!("0100007F:{port:04X} 00000000:0000 0A");
    for _ in 0..100 {
        match fs::read_to_string("/proc/net/tcp") {
            Ok(sockets) if sockets.contains(&listens) => return,
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Nowhere, with times as fine as they came: in ticks of the frame rate two frames may fall together.
/// Sound that is longer than the time up to the next one is none of its concern.
const SINK: [&str; 7] = [
    "-enc_time_base",
    "1:1000",
    "-af",
    "asetpts=N/SR/TB",
    "-f",
    "null",
    "-",
];

/// How long an encoder or a demuxer may take over a clip of seconds.
const RUN_LIMIT: Duration = Duration::from_secs(60);
