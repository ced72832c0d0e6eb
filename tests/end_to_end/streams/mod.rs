//! Many streams in one process (`--streams`).

#[cfg(target_os = "linux")]
mod endurance;
mod events;
mod fallback;
mod file;
mod isolation;
mod monitoring;
mod reload;
mod retention;
mod shards;

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    process::{Finished, Process},
    program::{Folder, LIMIT},
    server::{Clip, Config, Pace, Server, Stream},
};

/// File of streams, and the folder in which rtmpull runs.
struct Streams {
    folder: Folder,
    text: String,
}

impl Streams {
    /// Creates a file with these defaults.
    fn new(defaults: &str) -> Self {
        Self {
            folder: Folder::new(),
            text: format!("[defaults]\n{defaults}\n"),
        }
    }

    /// Adds a stream with these options, one per line.
    fn with(mut self, name: &str, options: &str) -> Self {
        write!(self.text, "\n[[stream]]\nname = \"{name}\"\n{options}\n").expect("a text");
        self
    }

    /// Adds `count` streams of a server, with the names cam-01, cam-02 and so on.
    fn with_cameras(self, count: usize, url: &str) -> Self {
        cameras(count).fold(self, |streams, name| {
            streams.with(&name, &format!("url = \"{url}\""))
        })
    }

    /// Writes the file.
    fn write(&self) -> PathBuf {
        let path = self.folder.path(FILE);
        fs::write(&path, &self.text).expect("the file can be written");
        path
    }

    fn start(&self, options: &[&str]) -> Process {
        self.write();
        let mut command = self.folder.command();
        Process::start(command.args(["--streams", FILE]).args(options))
    }

    #[track_caller]
    fn run(&self, options: &[&str]) -> Finished {
        self.start(options).finish(LIMIT)
    }

    /// Replaces the file as editors do.
    fn replace(&self, text: &str) {
        let new = self.folder.path("new.toml");
        fs::write(&new, text).expect("the file can be written");
        fs::rename(new, self.folder.path(FILE)).expect("the file can be replaced");
    }

    #[track_caller]
    fn clip(&self, name: &str) -> Clip {
        Clip::read(&self.folder.path(name))
    }

    /// Waits until all these files contain media.
    #[track_caller]
    fn wait_for_media<'a>(&self, process: &mut Process, names: impl IntoIterator<Item = &'a str>) {
        let start = Instant::now();
        for name in names {
            let path = self.folder.path(name);
            while fs::metadata(&path).map_or(0, |found| found.len()) < MEDIA_BYTES {
                assert!(process.is_running(), "ended before {name} had media");
                assert!(start.elapsed() < LIMIT, "no media in {name}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Streams {
    /// Panics unless the file is finished and starts with every message of the endless stream.
    #[track_caller]
    fn assert_start_of_endless(&self, name: &str) {
        let (clip, sent) = (self.clip(name), endless());
        assert!(clip.metadata().is_some(), "{name} is not finished");
        assert!(clip.media().count() > 2, "{name} has no media");
        let same = clip
            .media()
            .zip(sent.media())
            .all(|(tag, sent)| tag == sent);
        assert!(same, "{name} lacks a message");
    }
}

impl Finished {
    /// Panics unless the process ended with this exit code and this last line, after its level.
    #[track_caller]
    fn assert_streams_ended(&self, code: i32, line: &str) {
        assert_eq!(self.code(), Some(code), "{self}");
        let last = self.stderr.lines().last().unwrap_or_default();
        let (_, text) = last.split_once(": ").unwrap_or_default();
        assert_eq!(text, line, "{self}");
    }
}

/// Returns the names of streams: cam-01, cam-02 and so on.
fn cameras(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|number| format!("cam-{number:02}"))
}

/// Returns a server whose live stream plays the sample in this multiple of real time.
fn live_server(speed: f64) -> Server {
    let stream = Stream::live(Clip::sample()).paced(Pace::Speed(speed));
    Server::start(Config::serving(stream))
}

/// Returns a server whose live stream lasts for minutes.
fn endless_server() -> Server {
    Server::start(Config::serving(Stream::live(endless())))
}

fn endless() -> Clip {
    Clip::repeated_sample(60, 3_000)
}

const FILE: &str = "streams.toml";

/// Size of a file that contains more than its head.
const MEDIA_BYTES: u64 = 20_000;
