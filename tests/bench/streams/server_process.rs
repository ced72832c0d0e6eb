//! The test server in a process of its own, so that its cost is not measured.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::Arc,
    thread,
};

use super::{
    program::with_many_files,
    server::{Config, LiveReplay, OnMissing, Server, Stream},
};

/// First word of the command line that starts the server.
pub(crate) const WORD: &str = "serve";

/// Name of the live stream.
pub(crate) const LIVE: &str = "live";

/// Answer of the server to requests for other streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The stream does not exist.
    NotFound,
    /// The stream plays, but no media follows.
    Silence,
}

/// Running server, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    port: u16,
    stream_seconds: u64,
}

impl ServerProcess {
    /// Starts a server whose live stream lasts for `stream_seconds` from the arrival of each player.
    pub(crate) fn start(stream_seconds: u64, missing: Missing) -> Self {
        let program = env::current_exe().expect("the path of this program");
        let missing = format!("{missing:?}");
        let mut child = with_many_files(&program)
            .args([WORD, &stream_seconds.to_string(), &missing])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the port");
        let port = line.trim().parse().expect("the port");
        Self {
            child,
            port,
            stream_seconds,
        }
    }

    /// Returns the length of the live stream.
    pub(crate) fn stream_seconds(&self) -> u64 {
        self.stream_seconds
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of a stream.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/app/{name}", self.port)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Serves streams until the process is killed.
pub(crate) fn serve(seconds: u64, missing: &str) {
    let clip = LiveReplay::megabit();
    let live = Arc::new(LiveReplay::looping(&clip, seconds / ROUND_SECONDS));
    let server = Server::start(Config {
        streams: [(LIVE.to_owned(), Stream::live_replay(Arc::clone(&live)))].into(),
        chunk_size: live.chunk_size(),
        missing: if missing == format!("{:?}", Missing::Silence) {
            OnMissing::StartThenSilence
        } else {
            OnMissing::StreamNotFound
        },
        ..Config::default()
    });
    println!("{}", server.port());
    loop {
        thread::park();
    }
}

/// Length of the clip that the live stream repeats.
pub(crate) const ROUND_SECONDS: u64 = 2;
