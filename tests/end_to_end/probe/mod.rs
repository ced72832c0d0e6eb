//! `--probe`: what it prints about streams, and its exit codes.

mod comparison;
mod conditions;
mod endings;
mod files;
mod reference;
mod schema;
mod servers;

use serde_json::Value;

use crate::{
    process::{Finished, Process},
    program::{self, LIMIT},
};

/// Result of `rtmpull --probe … --json`.
struct Probe {
    finished: Finished,
    json: Value,
}

/// Runs `rtmpull --probe` with these arguments after it.
#[track_caller]
fn run(arguments: &[&str]) -> Finished {
    let mut command = program::command();
    command.arg("--probe").args(arguments);
    Process::start(&mut command).finish(LIMIT)
}

/// Probes `url` with `--json`.
#[track_caller]
fn probe(url: &str, options: &[&str]) -> Probe {
    let arguments: Vec<&str> = [url, "--json"]
        .into_iter()
        .chain(options.iter().copied())
        .collect();
    let finished = run(&arguments);
    let text = String::from_utf8_lossy(&finished.stdout);
    assert_eq!(text.lines().count(), 1, "not one line: {finished}");
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {finished}"));
    Probe { finished, json }
}

impl Probe {
    /// Returns the value at `path`, such as `tracks.0.codec`; null if it does not exist.
    fn get(&self, path: &str) -> &Value {
        let pointer = format!("/{}", path.replace('.', "/"));
        self.json.pointer(&pointer).unwrap_or(&Value::Null)
    }

    fn number(&self, path: &str) -> f64 {
        let value = self.get(path);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{path} is {value}: {}", self.finished))
    }

    /// Returns the first track of a kind.
    fn track(&self, kind: &str) -> &Value {
        let tracks = self.get("tracks").as_array();
        let found = tracks.and_then(|tracks| tracks.iter().find(|track| track["kind"] == kind));
        found.unwrap_or_else(|| panic!("no {kind} track: {}", self.finished))
    }

    /// Panics unless the probe ended with this exit code and this result.
    #[track_caller]
    fn assert_result(&self, code: i32, result: &str) {
        assert_eq!(self.finished.code(), Some(code), "{}", self.finished);
        assert_eq!(self.get("verdict.exit_code"), code, "{}", self.finished);
        assert_eq!(self.get("verdict.result"), result, "{}", self.finished);
    }
}

fn stdout(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}
