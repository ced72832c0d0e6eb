//! `--expect` and `--nagios`.

use super::{probe, run, stdout};
use crate::{
    peers::free_port,
    process::Finished,
    server::{Clip, Config, Server, Stream},
};

fn server() -> Server {
    Server::start(Config::serving(Stream::recorded(Clip::sample())))
}

#[test]
fn met_conditions_keep_the_exit_code() {
    let server = server();
    let conditions = [
        "--expect",
        "video.codec=h264",
        "--expect",
        "audio.codec=aac",
        "--expect",
        "verdict.result=plays",
        "--expect",
        "findings.malformed-frames=0",
        "--expect",
        "times.first_frame_ms<30s",
    ];
    probe(&server.url("clip"), &conditions).assert_result(0, "plays");
}

#[test]
fn failed_conditions_exit_with_1_and_name_the_actual_value() {
    let server = server();
    let url = server.url("clip");
    let conditions = [
        "--expect",
        "video.codec=h265",
        "--expect",
        "video.height>=9999",
    ];
    let probe = probe(&url, &conditions);
    probe.assert_result(1, "plays");
    let failed = probe.get("verdict.failed_conditions");
    assert_eq!(
        failed[0], "video.codec=h265 failed: the value is h264",
        "{failed}"
    );
    assert_eq!(failed.as_array().map(Vec::len), Some(2), "{failed}");
    let text = stdout(&run(&[&url, "--expect", "video.codec=h265"]));
    let line = "\ncondition video.codec=h265 failed: the value is h264\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn unknown_members_are_a_usage_error() {
    let finished = run(&["rtmp://localhost/app/clip", "--expect", "video.heigth>=720"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let suggestion = "did you mean \"video.height\"?";
    assert!(finished.stderr.contains(suggestion), "{finished}");
}

/// Returns the status and the performance data of the only line.
fn nagios(finished: &Finished) -> (String, Vec<(String, String)>) {
    let text = stdout(finished);
    assert_eq!(text.lines().count(), 1, "{finished}");
    let (status, data) = text.trim_end().split_once('|').expect("performance data");
    let values = data.split(' ').filter(|value| !value.is_empty());
    let values = values.map(|value| {
        let (label, value) = value.split_once('=').expect("a label");
        let label = label.trim_matches('\'').to_owned();
        (label, value.to_owned())
    });
    (status.to_owned(), values.collect())
}

#[test]
fn nagios_lines_have_a_status_and_performance_data() {
    let server = server();
    let finished = run(&[&server.url("clip"), "--nagios"]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let (status, values) = nagios(&finished);
    assert!(status.starts_with("RTMP OK - plays: h264 "), "{status}");
    for label in [
        "time",
        "first_frame",
        "first_keyframe",
        "video_bit_rate",
        "frame_rate",
    ] {
        let value = values.iter().find(|(found, _)| found == label);
        let (_, value) = value.unwrap_or_else(|| panic!("no {label}: {values:?}"));
        let fields: Vec<&str> = value.split(';').collect();
        assert_eq!(
            fields.len(),
            5,
            "value, warning, critical, minimum, maximum: {value}"
        );
        let number = fields[0].trim_end_matches('s');
        assert!(
            number.parse::<f64>().is_ok_and(|number| number > 0.0),
            "{value}"
        );
    }
}

#[test]
fn nagios_status_follows_the_exit_code() {
    let server = server();
    let url = server.url("clip");
    let failed = run(&[&url, "--nagios", "--expect", "video.width=1"]);
    assert_eq!(failed.code(), Some(1), "{failed}");
    let (status, _) = nagios(&failed);
    assert!(status.starts_with("RTMP WARNING - plays"), "{status}");
    assert!(status.contains("video.width=1 failed"), "{status}");

    let missing = run(&[&server.url("nothing"), "--nagios"]);
    assert_eq!(missing.code(), Some(1), "{missing}");
    assert!(
        nagios(&missing)
            .0
            .starts_with("RTMP WARNING - refused (not-found): ")
    );

    let url = format!("rtmp://127.0.0.1:{}/app/clip", free_port());
    let unreachable = run(&[&url, "--nagios"]);
    assert_eq!(unreachable.code(), Some(3), "{unreachable}");
    assert!(
        nagios(&unreachable)
            .0
            .starts_with("RTMP UNKNOWN - no connection")
    );
}
