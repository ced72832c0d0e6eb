//! Node-Media-Server 4: media on message stream 0, `@setDataFrame` left in place, and not a word
//! when the publisher leaves.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{find_program, folder, start_server};
use crate::process::Process;

/// Node-Media-Server as installed here.
pub struct NodeMediaServer {
    node: PathBuf,
    script: PathBuf,
}

/// A running Node-Media-Server.
pub struct Instance {
    _process: Process,
    _folder: TempDir,
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
            fs::write(&configuration, settings).expect("a small file");
            let mut command = Command::new(&self.node);
            command.arg(&self.script).arg("--config").arg(configuration);
            command.current_dir(folder.path());
            command
        });
        Instance {
            _process: process,
            _folder: folder,
            port,
        }
    }
}

impl Instance {
    /// The URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.port)
    }
}
