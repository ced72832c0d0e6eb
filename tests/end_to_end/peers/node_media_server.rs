//! Node-Media-Server 4: media on message stream 0, `@setDataFrame` left in place, and not a word
//! when the publisher leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{find_program, folder, restart_server, start_server};
use crate::process::Process;

/// Node-Media-Server as installed here.
pub struct NodeMediaServer {
    node: PathBuf,
    script: PathBuf,
}

/// A running Node-Media-Server.
pub struct Instance {
    process: Process,
    peer: NodeMediaServer,
    folder: TempDir,
    port: u16,
}

impl NodeMediaServer {
    /// Node.js and the package, where both are installed.
    pub fn find() -> Option<Self> {
        let script = folder().join("npm/node_modules/node-media-server/bin/app.js");
        let node = find_program("node")?;
        script.is_file().then_some(Self { node, script })
    }

    /// Starts an instance; whatever is published plays under the same name.
    pub fn start(self) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (process, port) = start_server(|port| {
            let configuration = folder.path().join("config.json");
            let settings = format!(r#"{{ "bind": "127.0.0.1", "rtmp": {{ "port": {port} }} }}"#);
            fs::write(&configuration, settings).expect("the file can be written");
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
    /// The port that RTMP is spoken on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills it, and starts it again on the same port.
    pub fn kill_and_restart(&mut self) {
        self.process.kill_and_wait();
        let mut command = self.peer.command(self.folder.path());
        self.process = restart_server(&mut command, self.port);
    }

    /// The URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }
}
