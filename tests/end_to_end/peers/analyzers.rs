//! tshark and tcpdump, which read and write capture files.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::find_program;
use crate::process::Process;

/// Installed tshark, the analyzer of Wireshark.
pub struct Tshark {
    program: PathBuf,
}

/// Installed tcpdump.
pub struct Tcpdump {
    program: PathBuf,
}

impl Tshark {
    /// Finds tshark.
    pub fn find() -> Option<Self> {
        find_program("tshark").map(|program| Self { program })
    }

    /// Returns the descriptions of the RTMP messages in a capture, one line per packet. Panics if a packet is
    /// malformed.
    #[track_caller]
    pub fn messages(&self, capture: &Path) -> String {
        assert_eq!(self.info(capture, "_ws.malformed"), "", "malformed packets");
        self.info(capture, "rtmpt")
    }

    fn info(&self, capture: &Path, filter: &str) -> String {
        let mut command = Command::new(&self.program);
        command.arg("-r").arg(capture);
        command.args(["-Y", filter, "-T", "fields", "-e", "_ws.col.Info"]);
        let output = command.output().expect("tshark runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Tcpdump {
    /// Finds tcpdump. Capturing needs the privileges of root.
    pub fn find() -> Option<Self> {
        find_program("tcpdump").map(|program| Self { program })
    }

    /// Captures the traffic of a port of the loopback interface. Returns `None` without the privilege to do so.
    pub fn start(&self, port: u16, file: &Path) -> Option<Process> {
        let mut command = Command::new(&self.program);
        command.args([
            "-i",
            "lo",
            "-s",
            "0",
            "-U",
            "-B",
            "8192",
            "--immediate-mode",
            "-w",
        ]);
        command.arg(file).arg(format!("tcp port {port}"));
        let mut process = Process::start(&mut command);
        let deadline = Instant::now() + Duration::from_secs(10);
        // The file gets its header once packets are captured.
        while std::fs::metadata(file).map_or(0, |file| file.len()) == 0 {
            if !process.is_running() || Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Some(process)
    }
}
