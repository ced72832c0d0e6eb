//! JSON events, heartbeat and service messages of many streams.

use std::{collections::BTreeMap, os::unix::net::UnixDatagram};

use serde_json::Value;

use super::*;
use crate::server::ScriptedPeer;

#[test]
fn events_carry_the_name_of_their_stream() {
    let server = live_server(6.0);
    let streams =
        Streams::new("live = true\nretry = 0\noutput = \"{name}.flv\"\nrepublish-wait = 0")
            .with_cameras(3, &server.url("clip"))
            .with("bad", &format!("url = \"{}\"", server.url("other")));
    let finished = streams.run(&["--progress", "json"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let events: Vec<Value> = finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for event in &events {
        let stream = event["stream"].as_str().unwrap_or_default().to_owned();
        kinds
            .entry(stream)
            .or_default()
            .push(event["event"].as_str().expect("a kind"));
    }
    for name in ["cam-01", "cam-02", "cam-03", "bad"] {
        let kinds = &kinds[name];
        for kind in ["start", "summary"] {
            assert_eq!(
                kinds.iter().filter(|found| **found == kind).count(),
                1,
                "{name}: {kinds:?}"
            );
        }
        let has_progress = kinds.contains(&"progress") && kinds.contains(&"connected");
        assert_eq!(has_progress, name != "bad", "{name}: {kinds:?}");
    }
    assert_eq!(
        kinds[""].iter().filter(|kind| **kind == "summary").count(),
        1
    );
    let last = events.last().expect("a summary");
    assert_eq!(
        (&last["event"], &last["stream"]),
        (&"summary".into(), &Value::Null)
    );
    assert_eq!(last["exit_code"], 1);
    assert_eq!(last["reason"], "1 of 4 streams failed: bad (not-found)");
    let sum: u64 = events
        .iter()
        .filter(|event| event["event"] == "summary" && !event["stream"].is_null())
        .filter_map(|event| event["bytes"].as_u64())
        .sum();
    assert_eq!(last["bytes"], sum);
}

#[test]
fn errors_of_the_file_are_events() {
    let streams = Streams::new("xyzzy = 1\noutput = 2.5").with("a", "live = 3");
    let finished = streams.run(&["--progress", "json"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let summary: Value = serde_json::from_str(&finished.stderr).expect("one line");
    assert_eq!(summary["ending"], "usage");
    let reason = summary["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        "streams.toml:2: xyzzy is not an option; streams.toml:7: live: the value must be true or false"
    );
}

/// A stalled stream does not stop the heartbeat, which covers all streams.
#[test]
fn heartbeat_covers_the_process() {
    let server = endless_server();
    let silent = ScriptedPeer::start(|peer, _| {
        let _ = peer.wait_for_close::<()>();
    });
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"")
        .with_cameras(2, &server.url("clip"))
        .with(
            "silent",
            &format!("url = \"{}\"\ntimeout = 0", silent.url("clip")),
        );
    let process = streams.start(&["--heartbeat", "beat"]);
    thread::sleep(Duration::from_secs(5));
    let beat = || -> Value {
        let text = fs::read_to_string(streams.folder.path("beat")).expect("a heartbeat");
        serde_json::from_str(&text).expect("JSON")
    };
    let first = beat();
    thread::sleep(Duration::from_millis(3_500));
    let second = beat();
    process.signal("INT");
    process.finish(LIMIT);
    for member in ["bytes", "position_ms"] {
        let value = |beat: &Value| beat[member].as_u64();
        assert!(value(&second) > value(&first), "{first} then {second}");
    }
}

#[test]
fn silent_streams_do_not_stop_the_watchdog() {
    let silent = ScriptedPeer::start(|peer, _| {
        let _ = peer.wait_for_close::<()>();
    });
    let options = format!("url = \"{}\"\ntimeout = 0", silent.url("clip"));
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"").with("silent", &options);
    streams.write();
    let path = streams.folder.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let timeout = Some(Duration::from_millis(100));
    socket.set_read_timeout(timeout).expect("a timeout");
    let mut command = streams.folder.command();
    command.args(["--streams", FILE]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000");
    let process = Process::start(&mut command);
    let mut messages: BTreeMap<String, u32> = BTreeMap::new();
    let mut receive = |until: Duration| {
        let (start, mut buffer) = (Instant::now(), [0; 4096]);
        while start.elapsed() < until {
            if let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                *messages.entry(text).or_default() += 1;
            }
        }
    };
    receive(Duration::from_secs(4));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(3), "{finished}");
    receive(Duration::from_millis(200));
    for (message, least, most) in [
        ("READY=1\n", 1, 1),
        ("WATCHDOG=1\n", 10, 14),
        ("STATUS=Recording 1 stream, 0 B\n", 1, 1),
        ("STOPPING=1\n", 1, 1),
    ] {
        let count = messages.get(message).copied().unwrap_or_default();
        assert!((least..=most).contains(&count), "{message}: {messages:?}");
    }
}
