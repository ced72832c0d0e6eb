//! Node-Media-Server 2 and 4. Version 4 uses message stream 0, keeps `@setDataFrame`, and sends
//! nothing when the publisher leaves. Version 2 reports the end of a publisher.

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
    package: PathBuf,
    version: Version,
}

/// Major version.
#[derive(Clone, Copy)]
enum Version {
    Two,
    Four,
}

/// Running Node-Media-Server.
pub struct Instance {
    process: Process,
    peer: NodeMediaServer,
    folder: TempDir,
    port: u16,
}

impl NodeMediaServer {
    /// Finds Node.js and version 4.
    pub fn find() -> Option<Self> {
        Self::find_package("npm", Version::Four)
    }

    /// Finds Node.js and version 2.
    pub fn find_2() -> Option<Self> {
        Self::find_package("npm-2", Version::Two)
    }

    fn find_package(prefix: &str, version: Version) -> Option<Self> {
        let package = folder().join(prefix).join("node_modules/node-media-server");
        let node = find_program("node")?;
        package.is_dir().then_some(Self {
            node,
            package,
            version,
        })
    }

    /// Starts an instance, which plays every published stream under its name.
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

    fn command(&self, folder: &Path, port: u16) -> Command {
        let mut command = Command::new(&self.node);
        match self.version {
            Version::Two => {
                command.arg("-e").arg(SCRIPT_2).arg(&self.package);
                command.arg(port.to_string());
            }
            Version::Four => {
                let config = folder.join("config.json");
                let settings =
                    format!(r#"{{ "bind": "127.0.0.1", "rtmp": {{ "port": {port} }} }}"#);
                fs::write(&config, settings).expect("the file can be written");
                command.arg(self.package.join("bin/app.js"));
                command.arg("--config").arg(config);
            }
        }
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
        let mut command = self.peer.command(self.folder.path(), self.port);
        self.process = restart_server(&mut command, self.port);
    }

    /// Returns the URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }
}

/// Starts only the RTMP server, with the settings of version 2's own program.
const SCRIPT_2: &str = "
    const [, path, port] = process.argv;
    const Server = require(path);
    const rtmp = { port: +port, chunk_size: 60000, gop_cache: true, ping: 30, ping_timeout: 60 };
    new Server({ rtmp }).run();
";
