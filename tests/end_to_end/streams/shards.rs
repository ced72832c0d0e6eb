//! Several processes that share the streams of one file.

use super::*;

#[test]
fn three_processes_record_each_stream_once() {
    let server = live_server(6.0);
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"\nrepublish-wait = 0")
        .with_cameras(20, &server.url("clip"));
    streams.write();
    let start = |shard| {
        let mut command = streams.folder.command();
        Process::start(command.args(["--streams", FILE, "--shard", shard]))
    };
    let processes = ["0/3", "1/3", "2/3"].map(start);
    let mut count = 0;
    for (shard, process) in processes.into_iter().enumerate() {
        let finished = process.finish(LIMIT);
        assert_eq!(finished.code(), Some(0), "{finished}");
        let first = finished.stderr.lines().next().unwrap_or_default();
        assert!(
            first.ends_with(&format!(" of streams.toml (shard {shard}/3)")),
            "{first}"
        );
        count += finished.stderr.matches(": saved ").count();
    }
    assert_eq!((count, server.clients().len()), (20, 20));
    for name in cameras(20) {
        let clip = streams.clip(&format!("{name}.flv"));
        assert!(clip.media().eq(Clip::sample().media()), "{name}");
    }
}
