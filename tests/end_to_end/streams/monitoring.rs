//! The display, the metrics and the health checks of many streams.

use super::*;
use crate::{
    metrics::client::{get, logged_address, request, value, wait_for},
    peers::{promtool::Promtool, require, tmux::Tmux},
};

fn live() -> Stream {
    Stream::live(Clip::repeated_sample(20, 3_040)).paced(Pace::Speed(2.0))
}

/// Returns how many streams are in this state.
fn count(metrics: &str, state: &str) -> usize {
    let end = format!(",state=\"{state}\"}} 1");
    let states = metrics
        .lines()
        .filter(|line| line.starts_with("rtmpull_stream_state{"));
    states.filter(|line| line.ends_with(&end)).count()
}

#[test]
fn metrics_follow_all_streams_across_a_reload_and_a_lost_server() {
    let promtool = require!(Promtool::find());
    let server = Server::start(Config::serving(live()));
    let url = server.url("clip");
    let defaults = "live = true\noutput = \"{name}.flv\"\nretry = 50";
    let streams = Streams::new(defaults).with_cameras(20, &url);
    let options = [
        "--metrics",
        "127.0.0.1:0",
        "--log-file",
        "log",
        "--keep-running",
    ];
    let process = streams.start(&options);
    let address = logged_address(&streams.folder.path("log"));
    let metrics = wait_for(&address, |metrics| count(metrics, "playing") == 20);
    promtool.check_metrics(&metrics);
    assert_eq!(get(&address, "/readyz"), "ready\n");
    assert_eq!(get(&address, "/healthz"), "ok\n");
    assert!(
        value(&metrics, "rtmpull_main_loop_age_seconds{loop=\"disk-0\"}") < Some(5.0),
        "{metrics}"
    );

    // The status page has a row for each stream.
    assert_eq!(
        get(&address, "/")
            .matches("<span class=\"state playing\">")
            .count(),
        20
    );

    // A removed stream has no metrics, and a failed one stays.
    let fewer = Streams::new(defaults)
        .with_cameras(19, &url)
        .with("broken", "url = \"rtmp://127.0.0.1:9/a/b\"\nretry = 0");
    streams.replace(&fewer.text);
    process.signal("HUP");
    let metrics = wait_for(&address, |metrics| {
        count(metrics, "failed") == 1 && !metrics.contains("\"cam-20\"")
    });
    let ended = "rtmpull_stream_ended{stream=\"broken\",ending=\"no-connection\"}";
    assert_eq!(value(&metrics, ended), Some(1.0), "{metrics}");
    assert_eq!(count(&metrics, "playing"), 19, "{metrics}");

    drop(server);
    wait_for(&address, |metrics| count(metrics, "reconnecting") == 19);
    let health = request(&address, "GET", "/healthz");
    assert_eq!(
        health.status, 200,
        "lost servers are not a failure of the process"
    );
    process.signal("INT");
    process.finish(LIMIT);
}

#[test]
fn a_small_terminal_counts_healthy_streams_and_lists_failed_ones() {
    let tmux = require!(Tmux::find());
    let server = Server::start(Config::serving(live()));
    let defaults = "live = true\noutput = \"{name}.flv\"\nretry = 50";
    let streams = Streams::new(defaults)
        .with_cameras(30, &server.url("clip"))
        .with("zoo", "url = \"rtmp://127.0.0.1:9/a/b\"");
    streams.write();
    let mut command = streams.folder.command();
    command.args(["--streams", FILE]);
    // 20 rows.
    let terminal = tmux.run(100, &command);
    let totals = |line: &str| line.starts_with("31 streams: 30 playing, 1 failed  ");
    let line = terminal.wait_for_line(totals);
    assert!(line.contains("iB/s  no gaps"), "{line}");
    let line = terminal.wait_for_line(|line| line.contains(" more: "));
    assert!(
        line.starts_with("… ") && line.contains(" playing"),
        "{line}"
    );
    let line = terminal.wait_for_line(|line| line.starts_with("zoo "));
    assert!(
        line.contains("  failed  ") && line.contains("  no-connection: "),
        "{line}"
    );
    let line = terminal.wait_for_line(|line| line.starts_with("cam-01 "));
    assert!(
        line.contains("  playing  ") && line.contains("iB/s"),
        "{line}"
    );
    let screen = terminal.screen();
    println!("{screen}");
    assert_eq!(
        screen.lines().filter(|line| totals(line)).count(),
        1,
        "{screen}"
    );
}

/// Ctrl-S stops the output, and so does a lost SSH connection.
#[test]
#[cfg(target_os = "linux")]
fn stopped_terminal_delays_neither_the_streams_nor_the_end() {
    use std::process::Command;

    let tmux = require!(Tmux::find());
    let server = endless_server();
    let streams =
        Streams::new("live = true\noutput = \"{name}.flv\"").with_cameras(20, &server.url("clip"));
    streams.write();
    let script = format!("echo $$ > id; exec \"$0\" --streams {FILE}");
    let mut command = Command::new("sh");
    let rtmpull = streams.folder.command();
    command.args(["-c", &script]).arg(rtmpull.get_program());
    command.current_dir(streams.folder.path(""));
    let terminal = tmux.run(100, &command);
    terminal.wait_for_line(|line| line.starts_with("20 streams: 20 playing"));
    terminal.stop_output();
    let id = fs::read_to_string(streams.folder.path("id")).expect("written");
    let id = id.trim();
    let signal = |name: &str| {
        let sent = Command::new("kill").args(["-s", name, id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    };
    // The terminal has room for some kilobytes, and each request prints a line.
    for _ in 0..30 {
        signal("HUP");
        thread::sleep(Duration::from_millis(100));
    }
    let size = || fs::metadata(streams.folder.path("cam-01.flv")).map_or(0, |found| found.len());
    let before = size();
    thread::sleep(Duration::from_secs(2));
    assert!(size() > before, "the recording has stopped");
    signal("INT");
    let start = Instant::now();
    while std::path::Path::new("/proc").join(id).exists() {
        assert!(start.elapsed() < Duration::from_secs(2), "still running");
        thread::sleep(Duration::from_millis(10));
    }
    for name in cameras(20) {
        streams.assert_start_of_endless(&format!("{name}.flv"));
    }
}
