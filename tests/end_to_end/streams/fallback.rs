//! Other sources of one of several streams take over.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::{
    metrics::client::{logged_address, value, wait_for},
    rejoin::unique_clip,
    server::Broadcast,
};

#[test]
fn fallback_of_a_stream_continues_its_recording() {
    let clip = unique_clip(3_000, 25);
    let broadcast = Arc::new(Broadcast::new(clip.clone(), 2.0, true));
    let serve = || Server::start(Config::serving(Stream::broadcast(Arc::clone(&broadcast))));
    let (first, second) = (serve(), serve());
    let url = |server: &Server| format!("url = \"{}\"", server.url("clip"));
    let fallback = format!("fallback = [\"{}\"]", second.url("clip"));
    let streams = Streams::new("live = true\nretry = 0\noutput = \"{name}.flv\"")
        .with("lobby", &format!("{}\n{fallback}", url(&first)))
        .with("yard", &url(&second));
    let options = ["--progress", "json", "--metrics", "127.0.0.1:0"];
    let options = [&options[..], &["--log-file", "log"]].concat();
    let mut process = streams.start(&options);
    let address = logged_address(&streams.folder.path("log"));
    streams.wait_for_media(&mut process, ["lobby.flv", "yard.flv"]);
    drop(first);
    let attempts = |name: &str| format!("rtmpull_stream_attempts_total{{stream=\"{name}\"}}");
    let playing = "rtmpull_stream_state{stream=\"lobby\",state=\"playing\"}";
    let metrics = wait_for(&address, |metrics| {
        let is_playing = value(metrics, playing) == Some(1.0);
        is_playing && value(metrics, &attempts("lobby")) == Some(2.0)
    });
    assert_eq!(value(&metrics, &attempts("yard")), Some(1.0), "{metrics}");
    thread::sleep(Duration::from_secs(1));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let events = finished.stderr.lines().map(|line| {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        event
    });
    let switches: Vec<Value> = events.filter(|event| event["event"] == "source").collect();
    let [switch] = &switches[..] else {
        panic!("{switches:?}");
    };
    assert_eq!(switch["stream"], "lobby", "{switch}");
    assert_eq!(switch["number"], 2, "{switch}");
    assert_eq!(switch["port"], second.port(), "{switch}");
    for name in ["lobby.flv", "yard.flv"] {
        let written = streams.clip(name);
        let count = written.media().count();
        assert!(count > 80, "{name}: {count} messages");
        let is_same = written.media().eq(clip.media().take(count));
        assert!(is_same, "{name} lacks a message");
    }
}

#[test]
fn switches_of_sources_are_printed_with_the_name_of_the_stream() {
    let broadcast = Arc::new(Broadcast::new(unique_clip(200, 25), 4.0, true));
    let second = Server::start(Config::serving(Stream::broadcast(broadcast)));
    let options = format!(
        "url = \"rtmp://127.0.0.1:1/app/clip\"\nfallback = [\"{}\"]",
        second.url("clip")
    );
    let streams =
        Streams::new("live = true\nretry = 0\noutput = \"{name}.flv\"").with("lobby", &options);
    let finished = streams.run(&[]);
    let line = "INFO: lobby: continuing with source 2, 127.0.0.1:";
    assert_eq!(finished.stderr.matches(line).count(), 1, "{finished}");
}
