//! Proxies: microsocks and Dante (SOCKS), tinyproxy (CONNECT).

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{find_program, start_server};
use crate::process::Process;

/// Running proxy.
pub struct Proxy {
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

/// microsocks: SOCKS 5 only.
pub struct Microsocks(PathBuf);

impl Microsocks {
    /// Finds microsocks.
    pub fn find() -> Option<Self> {
        find_program("microsocks").map(Self)
    }

    /// Starts a proxy that accepts every client, or only clients with this user and password.
    pub fn start(&self, login: Option<(&str, &str)>) -> Proxy {
        start(|_, port| {
            let mut command = Command::new(&self.0);
            command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
            if let Some((user, password)) = login {
                command.args(["-u", user, "-P", password]);
            }
            command
        })
    }
}

/// Dante: SOCKS 4, 4a and 5.
pub struct Dante(PathBuf);

impl Dante {
    /// Finds Dante's server.
    pub fn find() -> Option<Self> {
        find_program("danted").map(Self)
    }

    /// Starts a proxy that allows connections to loopback, except to port `forbidden`.
    pub fn start(&self, forbidden: u16) -> Proxy {
        start(|folder, port| {
            let file = folder.path().join("danted.conf");
            let config = format!(
                "logoutput: stderr
                 internal: 127.0.0.1 port = {port}
                 external: lo
                 clientmethod: none
                 socksmethod: none
                 client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
                 socks block {{ from: 0.0.0.0/0 to: 127.0.0.0/8 port = {forbidden} }}
                 socks block {{ from: 0.0.0.0/0 to: localhost port = {forbidden} }}
                 socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n"
            );
            fs::write(&file, config).expect("the file can be written");
            let mut command = Command::new(&self.0);
            command.arg("-p").arg(folder.path().join("pid"));
            command.arg("-f").arg(file);
            command
        })
    }
}

/// tinyproxy: CONNECT.
pub struct Tinyproxy(PathBuf);

impl Tinyproxy {
    /// Finds tinyproxy.
    pub fn find() -> Option<Self> {
        find_program("tinyproxy").map(Self)
    }

    /// Starts a proxy with additional configuration lines.
    pub fn start(&self, extra_lines: &str) -> Proxy {
        start(|folder, port| {
            let file = folder.path().join("tinyproxy.conf");
            let config = format!("Port {port}\nListen 127.0.0.1\nMaxClients 20\n{extra_lines}\n");
            fs::write(&file, config).expect("the file can be written");
            let mut command = Command::new(&self.0);
            command.args(["-d", "-c"]).arg(file);
            command
        })
    }
}

fn start(command: impl Fn(&TempDir, u16) -> Command) -> Proxy {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (process, port) = start_server(|port| command(&folder, port));
    Proxy {
        port,
        _process: process,
        _folder: folder,
    }
}
