//! The progress display on a real terminal.

use std::process::Command;

use tempfile::TempDir;

use crate::{
    parallel,
    peers::{require, tmux::Tmux},
    program,
    server::{Clip, Config, Pace, Server, Stream},
};

/// Returns a recorded stream of 3 s that takes 12 s.
fn slow() -> Config {
    let stream = Stream::recorded(Clip::sample());
    Config::serving(stream.paced(Pace::Speed(0.25)))
}

/// Returns a download of `url` in a UTF-8 locale, and the folder of its output.
fn download(url: &str, options: &[&str]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = program::command();
    command.arg(url).args(options);
    command.arg("-o").arg(folder.path().join("out.flv"));
    (command, folder)
}

/// Whether a line is a progress bar after the first second of the stream.
fn is_bar(line: &str) -> bool {
    let has_position = ["0:01", "0:02"].iter().any(|at| line.contains(at));
    has_position && line.contains(" KiB") && !line.contains("INFO")
}

#[test]
fn the_bar_fits_every_width_and_leaves_out_complete_fields() {
    let tmux = require!(Tmux::find());
    let server = Server::start(slow());
    let fields = |line: &str| {
        let fields = line.split("  ").map(str::trim);
        let fields: Vec<_> = fields.filter(|field| !field.is_empty()).collect();
        fields.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let widths = [20, 40, 60, 79, 80, 120, 200];
    parallel::for_each(widths.to_vec(), |width| {
        let (command, _folder) = download(&server.url("clip"), &["-R"]);
        let terminal = tmux.run(width, &command);
        let line = terminal.wait_for_line(is_bar);
        let line = line.trim_end();
        println!("{width:>3}: {line}");
        assert!(line.chars().count() <= width, "{line}");
        let fields = fields(line);
        let ends: &[&str] = match width {
            20 => &["", " KiB"],
            40 => &["%", "", " KiB", " KiB/s", " left"],
            _ => &["░", "%", " of 0:03", " KiB", " KiB/s", " left"],
        };
        assert_eq!(fields.len(), ends.len(), "{width}: {line}");
        for (field, end) in fields.iter().zip(ends) {
            assert!(field.ends_with(end), "{width}: {line}");
        }
        let bars = terminal
            .screen()
            .lines()
            .filter(|line| is_bar(line))
            .count();
        assert_eq!(bars, 1, "{}", terminal.screen());
    });
}

#[test]
fn the_bar_shows_an_outage() {
    let tmux = require!(Tmux::find());
    let server = Server::start(slow());
    let (command, _folder) = download(&server.url("clip"), &["--retry", "5"]);
    let terminal = tmux.run(80, &command);
    terminal.wait_for_line(is_bar);
    drop(server);
    // The wait is 4 s, a quarter more or less.
    let line = terminal.wait_for_line(|line| line.starts_with("reconnecting 3/5 in "));
    let seconds = line.trim_start_matches("reconnecting 3/5 in ");
    assert!(seconds.starts_with(['3', '4', '5']), "{line}");
    assert!(
        seconds.contains(" s  0:0") && seconds.trim_end().ends_with(" KiB"),
        "{line}"
    );
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let tmux = require!(Tmux::find());
    let server = Server::start(slow());
    let (mut command, _folder) = download(&server.url("clip"), &["-R"]);
    let terminal = tmux.run(80, command.env("TERM", "dumb"));
    let line = terminal.wait_for_line(|line| line.contains('%'));
    assert!(line.contains(" of 0:03 (") && line.is_ascii(), "{line}");
}

#[test]
fn locale_without_utf8_gets_ascii() {
    let tmux = require!(Tmux::find());
    let server = Server::start(slow());
    let (mut command, _folder) = download(&server.url("clip"), &["-R"]);
    let terminal = tmux.run(80, command.env("LC_ALL", "C"));
    let line = terminal.wait_for_line(is_bar);
    assert!(
        line.contains("#-") && terminal.screen().is_ascii(),
        "{line}"
    );
}
