//! xiu, an RTMP server written in Rust.
//!
//! xiu requests an acknowledgement for every 4096 bytes but reads nothing from a player. When the publisher leaves,
//! it sends no status and closes the connection; the unread acknowledgements turn the close into a reset. A player
//! of a missing stream receives Play.Start and the close.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{find_program, folder, restart_server, start_server};
use crate::process::Process;

/// Installed xiu.
pub struct Xiu {
    program: PathBuf,
}

/// Running xiu, which relays every published stream under its app and name.
pub struct Instance {
    process: Process,
    peer: Xiu,
    folder: TempDir,
    port: u16,
}

impl Xiu {
    /// Finds the program that `tests/peers.sh long` installs, or one in PATH.
    pub fn find() -> Option<Self> {
        let installed = Some(folder().join("xiu/bin/xiu")).filter(|program| program.is_file());
        let program = installed.or_else(|| find_program("xiu"))?;
        Some(Self { program })
    }

    /// Starts an instance.
    pub fn start(self) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (process, port) = start_server(|port| self.command(folder.path(), port));
        Instance {
            process,
            peer: self,
            folder,
            port,
        }
    }

    /// Returns the command, whose output is appended to the log.
    fn command(&self, folder: &Path, port: u16) -> Command {
        let config = folder.join("xiu.toml");
        fs::write(&config, config_text(port)).expect("the file can be written");
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" -c "$1" >"$2" 2>&1"#]);
        command.arg(&self.program).arg(config).arg(log(folder));
        command
    }
}

impl Instance {
    /// Returns the RTMP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills xiu and restarts it on the same port with an empty log.
    pub fn kill_and_restart(&mut self) {
        self.process.kill_and_wait();
        let mut command = self.peer.command(self.folder.path(), self.port);
        self.process = restart_server(&mut command, self.port);
    }

    /// Returns the URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }

    /// Waits until the stream `name` is published.
    #[track_caller]
    pub fn wait_for_publisher(&self, name: &str) {
        self.wait_for_log(&format!(
            "transceiver run success, idetifier: RTMP - app_name: live, stream_name: {name}"
        ));
    }

    /// Waits until the publisher of the stream `name` has left.
    #[track_caller]
    pub fn wait_for_departure(&self, name: &str) {
        self.wait_for_log(&format!(
            "unpublish remove stream, stream identifier: RTMP - app_name: live, stream_name: {name}"
        ));
    }

    /// Waits until a player has requested the stream `name`.
    #[track_caller]
    pub fn wait_for_player(&self, name: &str) {
        self.wait_for_log(&format!(
            "subscribe_from_stream_hub, app_name: live stream_name: {name} "
        ));
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str) {
        let log = || fs::read_to_string(log(self.folder.path())).unwrap_or_default();
        let start = Instant::now();
        while !log().contains(text) {
            assert!(
                start.elapsed() < LOG_LIMIT,
                "{text:?} is not in the log:\n{}",
                log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the configuration: a cache of 16 GOPs, and an HTTP interface on an unused port instead of 8000.
fn config_text(port: u16) -> String {
    format!(
        "[rtmp]
         enabled = true
         port = {port}
         gop_num = 16
         [httpapi]
         port = 0
         [authsecret]
         key = \"\"
         password = \"\"
         [log]
         level = \"info\"
        "
    )
}

fn log(folder: &Path) -> PathBuf {
    folder.join("xiu.log")
}

/// Time limit for a line in the log.
const LOG_LIMIT: Duration = Duration::from_secs(20);
