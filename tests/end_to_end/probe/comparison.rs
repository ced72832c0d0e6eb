//! Two sources side by side.

use serde_json::Value;

use super::{run, stdout};
use crate::server::{Clip, Config, Server, Stream};

fn servers() -> [Server; 2] {
    let serve = |clip| Server::start(Config::serving(Stream::recorded(clip)));
    [serve(Clip::sample()), serve(Clip::thin())]
}

#[test]
fn different_fields_of_two_sources_are_marked() {
    let [first, second] = servers();
    let finished = run(&[&first.url("clip"), &second.url("clip")]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let text = stdout(&finished);
    let row = |label: &str| {
        let found = text
            .lines()
            .find(|line| line.get(2..).is_some_and(|line| line.starts_with(label)));
        found.unwrap_or_else(|| panic!("no {label}: {text}"))
    };
    assert!(row("frames ").starts_with('!'), "{text}");
    assert!(row("chunk size").starts_with(' '), "{text}");
    assert!(
        row("first frame").starts_with(' '),
        "times are not compared: {text}"
    );
    assert!(text.contains("\nfirst: verdict: plays"), "{text}");
    assert!(text.contains("\nsecond: verdict: plays"), "{text}");
}

#[test]
fn json_lists_both_sources_and_their_differences() {
    let [first, second] = servers();
    let finished = run(&[&first.url("clip"), &second.url("clip"), "--json"]);
    let json: Value = serde_json::from_str(&stdout(&finished)).expect("JSON");
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["sources"][0]["source"], first.url("clip"));
    assert_eq!(json["sources"][1]["source"], second.url("clip"));
    let differences = json["differences"].as_array().expect("a list");
    let paths: Vec<_> = differences
        .iter()
        .filter_map(|item| item["path"].as_str())
        .collect();
    assert!(paths.contains(&"tracks[0].frames"), "{paths:?}");
    for path in paths {
        let is_compared = !["source", "times", "connection", "session"]
            .iter()
            .any(|ignored| path.starts_with(ignored));
        assert!(is_compared, "{path}");
    }
}

#[test]
fn the_worse_exit_code_applies() {
    let [first, _] = servers();
    let finished = run(&[&first.url("clip"), &first.url("nothing")]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let finished = run(&[&first.url("clip"), &first.url("clip"), "--nagios"]);
    assert!(
        finished.stderr.contains("--nagios describes one source"),
        "{finished}"
    );
}
