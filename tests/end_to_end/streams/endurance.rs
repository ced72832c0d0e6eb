//! Many streams of a server that is restarted several times. The environment sets the size of the run:
//! `RTMPULL_MINUTES` (30), `RTMPULL_STREAMS` (100) and `RTMPULL_RESTARTS` (5).

use std::env;

use super::*;
use crate::{
    metrics::client::{get, logged_address, value},
    peers::{ffmpeg::Ffmpeg, nginx::Nginx, require},
};

#[test]
#[ignore = "takes 30 minutes: .ci/long runs it"]
fn restarts_of_the_server_cost_one_gap_each_and_no_memory() {
    let (nginx, ffmpeg) = (require!(Nginx::find()), require!(Ffmpeg::find()));
    let [minutes, count, restarts] = [("MINUTES", 30), ("STREAMS", 100), ("RESTARTS", 5)]
        .map(|(name, default)| parameter(name, default));
    let mut server = nginx.start(&[]);
    let url = server.url("live", "test");
    let mut publisher = ffmpeg.publish_test_picture(&url, 0);
    let defaults =
        "live = true\noutput = \"{name}.flv\"\nretry = \"forever\"\nrepublish-wait = \"forever\"";
    let streams = Streams::new(defaults).with_cameras(count as usize, &url);
    let options = ["--metrics", "127.0.0.1:0", "--log-file", "log"];
    let process = streams.start(&options);
    let mut run = Run {
        address: logged_address(&streams.folder.path("log")),
        streams: count,
        start: Instant::now(),
        samples: Vec::new(),
    };
    for restart in 1..=restarts {
        run.wait_until(60 * minutes * restart / (restarts + 1));
        let delay = Instant::now();
        server.kill_and_restart();
        drop(publisher);
        publisher = ffmpeg.publish_test_picture(&url, restart);
        run.wait_for_gaps(restart);
        println!(
            "restart {restart}: all streams play after {:?}",
            delay.elapsed()
        );
    }
    run.wait_until(60 * minutes);
    let metrics = get(&run.address, "/metrics");
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert!(
        finished.took < Duration::from_secs(2),
        "{:?}",
        finished.took
    );
    println!("ended after {:?}, {}", finished.took, run.figures(&metrics));
    run.assert_flat_memory();
    for name in cameras(count as usize) {
        let listed = finished
            .stderr
            .matches(&format!("WARNING: {name}: gap of "))
            .count();
        assert_eq!(listed as u64, restarts, "gaps of {name}: {finished}");
        let clip = streams.clip(&format!("{name}.flv"));
        assert!(clip.metadata().is_some(), "{name} is not finished");
        let seconds = u64::from(clip.last_timestamp_ms() / 1000);
        assert!(seconds + 60 > 60 * minutes, "{name} has {seconds} s");
    }
    ffmpeg.assert_plays(&streams.folder.path("cam-01.flv"));
}

/// Returns a number from the environment.
fn parameter(name: &str, default: u64) -> u64 {
    let value = env::var(format!("RTMPULL_{name}"));
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// A process whose memory is measured.
struct Run {
    /// Address of its metrics.
    address: String,
    streams: u64,
    start: Instant,
    samples: Vec<Sample>,
}

/// Memory of the process at one time.
struct Sample {
    /// Whether all streams played, and the gaps of all streams.
    is_playing: bool,
    gaps: u64,
    bytes: u64,
    open_files: u64,
}

impl Run {
    /// Measures once per second until `seconds` have passed.
    fn wait_until(&mut self, seconds: u64) {
        while self.start.elapsed() < Duration::from_secs(seconds) {
            self.measure();
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until each stream plays again after `restarts` restarts of its server.
    fn wait_for_gaps(&mut self, restarts: u64) {
        let start = Instant::now();
        loop {
            let expected = self.streams * restarts;
            let &Sample {
                is_playing, gaps, ..
            } = self.measure();
            if is_playing && gaps == expected {
                return;
            }
            assert!(
                start.elapsed() < RESTART_LIMIT,
                "{gaps} gaps after {restarts} restarts"
            );
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn measure(&mut self) -> &Sample {
        let metrics = get(&self.address, "/metrics");
        let playing = sum(&metrics, "rtmpull_stream_state{", "state=\"playing\"}");
        let single = |name| value(&metrics, name).expect("a value") as u64;
        self.samples.push(Sample {
            is_playing: playing == self.streams,
            gaps: sum(&metrics, "rtmpull_stream_gaps_total{", "}"),
            bytes: single("process_resident_memory_bytes"),
            open_files: single("process_open_fds"),
        });
        self.samples.last().expect("a sample")
    }

    /// Panics if the memory grows after the second restart.
    fn assert_flat_memory(&self) {
        let after = |sample: &&Sample| sample.is_playing && sample.gaps >= 2 * self.streams;
        let mut settled = self.samples.iter().filter(after).map(|sample| sample.bytes);
        let Some(first) = settled.next() else {
            return;
        };
        let most = settled.max().unwrap_or(first);
        assert!(
            most <= first + GROWTH,
            "memory grew from {first} to {most} bytes"
        );
    }

    /// Describes the run.
    fn figures(&self, metrics: &str) -> String {
        let memory = |gaps: u64| {
            let with = |sample: &&Sample| sample.is_playing && sample.gaps == gaps * self.streams;
            let bytes = self.samples.iter().filter(with).map(|sample| sample.bytes);
            let (least, most) = (bytes.clone().min(), bytes.max());
            let mib = |bytes: Option<u64>| bytes.unwrap_or(0) as f64 / f64::from(1 << 20);
            format!("{:.1}-{:.1} MiB", mib(least), mib(most))
        };
        let restarts = self
            .samples
            .last()
            .map_or(0, |last| last.gaps / self.streams);
        let memory: Vec<_> = (0..=restarts).map(memory).collect();
        let files = self.samples.iter().map(|sample| sample.open_files).max();
        let cpu = value(metrics, "process_cpu_seconds_total").expect("a value");
        format!(
            "{} streams, {:.0} s, {} gaps of {} s, memory between the restarts {}, at most {} open files, \
             {:.1} % of a core",
            self.streams,
            self.start.elapsed().as_secs_f64(),
            sum(metrics, "rtmpull_stream_gaps_total{", "}"),
            sum(metrics, "rtmpull_stream_gap_seconds_total{", "}"),
            memory.join(", "),
            files.unwrap_or(0),
            100.0 * cpu / self.start.elapsed().as_secs_f64(),
        )
    }
}

/// Returns the sum of a metric over the streams whose labels end with `labels`.
fn sum(metrics: &str, name: &str, labels: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' '));
    let values = values.filter(|(name, _)| name.ends_with(labels));
    let values = values.map(|(_, value)| value.parse::<f64>().expect("a number"));
    values.sum::<f64>() as u64
}

/// Time for all streams to play again after a restart: the longest pause of a single download, and the spread of
/// the connections.
const RESTART_LIMIT: Duration = Duration::from_secs(60);

/// Largest growth of the memory from the end of the second restart to the end of the run.
const GROWTH: u64 = 4 << 20;
