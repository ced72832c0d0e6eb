//! Wine, which runs Windows programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{find_program, folder};

/// Installed Wine with its prepared prefix.
pub struct Wine {
    program: PathBuf,
    prefix: PathBuf,
}

impl Wine {
    /// Finds Wine and the prefix.
    pub fn find() -> Option<Self> {
        let prefix = folder().join("wine");
        let program = find_program("wine")?;
        let is_ready = prefix.join("ready").is_file();
        is_ready.then_some(Self { program, prefix })
    }

    /// Returns the command that runs the Windows program at `path`. Drive Z: is the root folder.
    pub fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(path);
        command.env("WINEPREFIX", &self.prefix);
        command.env("WINEDEBUG", "-all");
        // Wine converts arguments and file names from the encoding of the locale.
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("DISPLAY");
        command
    }
}
