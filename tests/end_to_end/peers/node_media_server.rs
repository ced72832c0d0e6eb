//! Node-Media-Server 4, which uses message stream 0, keeps `@setDataFrame`, and sends nothing when
//! the publisher leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{find_program, folder, restart_server, start_server};
use crate::process::Process;

/// Installed Node-Media-Server.
pub struct NodeMediaServer {
    node: PathBuf,
    script: PathBuf,
}

/// Running Node-Media-Server.
pub struct Instance {
    process: Process,
    peer: NodeMediaServer,
    folder: TempDir,
    port: u16,
}

impl NodeMediaServer {
    /// Finds Node.js and the package.
    pub fn find() -> Option<Self> {
        let script = folder().join("npm/node_modules/node-media-server/bin/app.js");
        let node = find_program("node")?;
        script.is_file().then_some(Self { node, script })
    }

    /// Starts an instance, which plays every published stream under its name.
    pub fn start(self) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (process, port) = start_server(|port| {
            let config = folder.path().join("config.json");
            let settings = format!(r#"{{ "bind": "127.0.0.1", "rtmp": {{ "port": {port} }} }}"#);
            fs::write(&config, settings).expect("the file can be written");
            self.command(folder.path())
        });
        Instance {
            process,
            peer: self,
            folder,
            port,
        }
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(&self.script);
        command.arg("--config").arg(folder.join("config.json"));
        command.current_dir(folder);
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

    /// Kills the server and restarts it on the same port.
    pub fn kill_and_restart(&mut self) {
        self.process.kill_and_wait();
        let mut command = self.peer.command(self.folder.path());
        self.process = restart_server(&mut command, self.port);
    }

    /// Returns the URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }
}
