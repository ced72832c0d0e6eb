//! promtool, which checks files and metrics for Prometheus.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::find_program;

/// Installed promtool.
pub struct Promtool {
    program: PathBuf,
}

impl Promtool {
    /// Finds promtool.
    pub fn find() -> Option<Self> {
        find_program("promtool").map(|program| Self { program })
    }

    /// Runs `promtool` with these words in `folder`, and fails the test if promtool finds an error.
    #[track_caller]
    pub fn check(&self, folder: &Path, words: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        let output = command.current_dir(folder).args(words).output();
        let output = output.expect("promtool runs");
        let text = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }

    /// Fails the test if promtool rejects the metrics or advises another name.
    #[track_caller]
    pub fn check_metrics(&self, metrics: &str) {
        let mut child = Command::new(&self.program)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(metrics.as_bytes()).expect("promtool reads");
        drop(stdin);
        let output = child.wait_with_output().expect("promtool ends");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            output.status.success() && text.is_empty(),
            "{text}\n{metrics}"
        );
    }
}
