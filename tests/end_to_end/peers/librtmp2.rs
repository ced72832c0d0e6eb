//! librtmp2, the first RTMP server that sends reconnect requests.

use std::{path::PathBuf, process::Command};

use super::{folder, start_server};
use crate::process::Process;

/// Installed server.
pub struct Librtmp2 {
    program: PathBuf,
}

/// Running server, which relays every published stream under its app and name.
pub struct Instance {
    /// Ends the server when it is dropped.
    _process: Process,
    port: u16,
}

impl Librtmp2 {
    /// Finds the program that `tests/peers.sh` builds.
    pub fn find() -> Option<Self> {
        let program = folder().join("librtmp2/debug/librtmp2-server");
        program.is_file().then_some(Self { program })
    }

    /// Starts an instance that asks its first player to reconnect, `delay_ms` after its `play`.
    pub fn start(self, delay_ms: u32, tc_url: Option<&str>) -> Instance {
        let (process, port) = start_server(|port| {
            let mut command = Command::new(&self.program);
            command.arg(format!("127.0.0.1:{port}"));
            command.arg(delay_ms.to_string()).args(tc_url);
            command
        });
        Instance {
            _process: process,
            port,
        }
    }
}

impl Instance {
    /// Returns the URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }
}
