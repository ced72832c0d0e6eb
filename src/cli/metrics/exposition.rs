//! The metrics in the text format of Prometheus.

use std::{fmt, sync::Arc, time::Instant};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, prometheus_text,
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry,
};

use super::{disks::Disks, process};
use crate::cli::report::status::{Registry, State, StreamStatus};

/// Encodes the metrics of all streams and of the process.
#[derive(Debug)]
pub(super) struct Exposition(registry::Registry);

impl Exposition {
    /// Media type of the text.
    pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

    pub(super) fn new(registry: Arc<Registry>, disks: Arc<Disks>) -> Self {
        let mut metrics = registry::Registry::default();
        metrics.register_collector(Box::new(Streams(Arc::clone(&registry))));
        metrics.register_collector(Box::new(Process { registry, disks }));
        Self(metrics)
    }

    /// Returns the current values.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Metrics of the streams.
#[derive(Debug)]
struct Streams(Arc<Registry>);

/// Metrics of the process.
#[derive(Debug)]
struct Process {
    registry: Arc<Registry>,
    disks: Arc<Disks>,
}

impl Collector for Streams {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut streams = Vec::new();
        self.0.for_each(|stream| streams.push(stream.clone()));
        let mut families = Families(encoder);
        encode_counts(&mut families, &streams)?;
        encode_state(&mut families, &streams, Instant::now())
    }
}

/// A counter of a stream: name, help and value.
type Count = (&'static str, &'static str, fn(&StreamStatus) -> u64);

/// Counters in units of 1 or in bytes.
const COUNTS: [Count; 8] = [
    (
        "rtmpull_stream_received_bytes",
        "Size of all received audio, video and script messages.",
        |stream| stream.received_bytes,
    ),
    (
        "rtmpull_stream_written_bytes",
        "Bytes written to the files or the pipe of the stream.",
        |stream| stream.written_bytes,
    ),
    ("rtmpull_stream_gaps", "Gaps in the recording.", |stream| {
        stream.gaps
    }),
    (
        "rtmpull_stream_attempts",
        "Attempts to connect and play the stream.",
        |stream| stream.attempts,
    ),
    (
        "rtmpull_stream_segments",
        "Complete files of the recording.",
        |stream| stream.segments,
    ),
    (
        "rtmpull_stream_drops",
        "Gaps in the pipe because its reader was too slow.",
        |stream| stream.drops.gaps,
    ),
    (
        "rtmpull_stream_dropped_frames",
        "Frames that the pipe lacks because its reader was too slow.",
        |stream| stream.drops.frames,
    ),
    (
        "rtmpull_stream_dropped_bytes",
        "Size of the frames that the pipe lacks because its reader was too slow.",
        |stream| stream.drops.bytes,
    ),
];

fn encode_counts(families: &mut Families<'_>, streams: &[StreamStatus]) -> fmt::Result {
    for (name, help, value) in COUNTS {
        let rows = streams.iter().map(|stream| ([of(stream)], value(stream)));
        families.counter(name, help, rows)?;
    }
    families.counter(
        "rtmpull_stream_frames",
        "Received audio and video messages by track.",
        streams.iter().flat_map(|stream| {
            let tracks = [
                ("audio", stream.audio_frames),
                ("video", stream.video_frames),
            ];
            tracks.map(|(track, frames)| ([of(stream), ("track", track)], frames))
        }),
    )?;
    families.counter(
        "rtmpull_stream_gap_seconds",
        "Missing time in the recording.",
        streams
            .iter()
            .map(|stream| ([of(stream)], seconds(stream.gaps_ms))),
    )?;
    families.counter(
        "rtmpull_stream_dropped_seconds",
        "Time that the pipe lacks because its reader was too slow.",
        streams
            .iter()
            .map(|stream| ([of(stream)], seconds(stream.drops.length_ms))),
    )
}

fn encode_state(
    families: &mut Families<'_>,
    streams: &[StreamStatus],
    now: Instant,
) -> fmt::Result {
    families.gauge(
        "rtmpull_stream_state",
        "1 for the current state of the stream, 0 for all other states.",
        streams.iter().flat_map(|stream| {
            State::ALL.map(|state| {
                let labels = [of(stream), ("state", state.word())];
                (labels, i64::from(state == stream.state))
            })
        }),
    )?;
    families.gauge(
        "rtmpull_stream_position_seconds",
        "Length of the recording.",
        streams
            .iter()
            .map(|stream| ([of(stream)], seconds(stream.position_ms))),
    )?;
    families.gauge(
        "rtmpull_stream_last_media_age_seconds",
        "Time since the latest audio or video message; missing before the first one.",
        streams.iter().filter_map(|stream| {
            let silence = stream.silence(now)?;
            Some(([of(stream)], silence.as_secs_f64()))
        }),
    )?;
    families.gauge(
        "rtmpull_stream_ended",
        "1 with the word for how the download ended; missing while it runs.",
        streams.iter().filter_map(|stream| {
            let end = stream.end.as_ref()?;
            Some(([of(stream), ("ending", end.word.as_str())], 1_i64))
        }),
    )
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let now = Instant::now();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        families.gauge(
            "rtmpull_build_info",
            "1 with the version of rtmpull.",
            [(version, 1_i64)].into_iter(),
        )?;
        let disks = self.disks.free_bytes(now);
        families.gauge(
            "rtmpull_disk_free_bytes",
            "Free bytes of each disk that a stream writes to, by mount point.",
            disks
                .iter()
                .map(|(disk, bytes)| ([("disk", disk.as_str())], to_i64(*bytes))),
        )?;
        let loops = self.registry.liveness().ages(now);
        families.gauge(
            "rtmpull_main_loop_age_seconds",
            "Time since the latest turn of each main loop. A disk that hangs stops the loop of its streams.",
            loops
                .iter()
                .map(|age| ([("loop", age.name.as_str())], age.age.as_secs_f64())),
        )?;
        self.encode_process(&mut families)
    }
}

impl Process {
    fn encode_process(&self, families: &mut Families<'_>) -> fmt::Result {
        if let Some(seconds) = process::cpu_seconds() {
            let help = "CPU time of the process.";
            families.single("process_cpu_seconds", help, ConstCounter::new(seconds))?;
        }
        if let Some(bytes) = process::resident_bytes() {
            let help = "Memory of the process in RAM.";
            let value = ConstGauge::new(to_i64(bytes));
            families.single("process_resident_memory_bytes", help, value)?;
        }
        if let Some(files) = process::open_files() {
            let value = ConstGauge::new(to_i64(files));
            families.single("process_open_fds", "Open files and sockets.", value)?;
        }
        let started = self.registry.started_at().as_duration().as_secs_f64();
        families.single(
            "process_start_time_seconds",
            "Start of the process, in seconds since 1970.",
            ConstGauge::new(started),
        )
    }
}

/// Writes families of metrics. A family without values is left out.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counter<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, &'l str); N], V)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            rows.map(|(labels, value)| (labels, ConstCounter::new(value))),
        )
    }

    fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, &'l str); N], V)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            rows.map(|(labels, value)| (labels, ConstGauge::new(value))),
        )
    }

    fn family<'l, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, &'l str); N], M)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        let Some((_, first)) = rows.peek() else {
            return Ok(());
        };
        let kind = first.metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        rows.try_for_each(|(labels, metric)| metric.encode(family.encode_family(&labels)?))
    }

    /// Writes a metric without labels.
    fn single(&mut self, name: &str, help: &str, metric: impl EncodeMetric) -> fmt::Result {
        let kind: MetricType = metric.metric_type();
        metric.encode(self.0.encode_descriptor(name, help, None, kind)?)
    }
}

/// Returns the label with the name of the stream.
fn of(stream: &StreamStatus) -> (&'static str, &str) {
    ("stream", &stream.name)
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn to_i64(value: u64) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{args::Verbosity, terminal::screen::tests::plain},
        download::{Progress, Report},
        transport::Endpoint,
    };

    fn exposition(registry: &Arc<Registry>) -> String {
        Exposition::new(Arc::clone(registry), Arc::default())
            .text()
            .unwrap()
    }

    #[test]
    fn each_stream_has_its_values() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        let mut listener = registry.open("cam");
        listener.connecting(&Endpoint {
            host: "host".to_owned(),
            port: 1935,
        });
        listener.started(true);
        listener.progress(&Progress {
            frames: 5,
            video_frames: 2,
            received_bytes: 700,
            bytes: 800,
            position_ms: 1_500,
            ..Progress::default()
        });
        let text = exposition(&registry);
        for line in [
            "# TYPE rtmpull_stream_received_bytes_total counter",
            "rtmpull_stream_received_bytes_total{stream=\"cam\"} 700",
            "rtmpull_stream_written_bytes_total{stream=\"cam\"} 800",
            "rtmpull_stream_frames_total{stream=\"cam\",track=\"audio\"} 3",
            "rtmpull_stream_frames_total{stream=\"cam\",track=\"video\"} 2",
            "rtmpull_stream_state{stream=\"cam\",state=\"playing\"} 1",
            "rtmpull_stream_state{stream=\"cam\",state=\"failed\"} 0",
            "rtmpull_stream_position_seconds{stream=\"cam\"} 1.5",
            "rtmpull_stream_attempts_total{stream=\"cam\"} 1",
            "rtmpull_stream_gaps_total{stream=\"cam\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("rtmpull_stream_ended"), "{text}");
    }

    #[test]
    fn names_are_escaped() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        registry.open("a\"b\\c\nd");
        let text = exposition(&registry);
        assert!(
            text.contains("rtmpull_stream_gaps_total{stream=\"a\\\"b\\\\c\\nd\"} 0\n"),
            "{text}"
        );
    }

    #[test]
    fn metrics_without_values_are_left_out() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        let text = exposition(&registry);
        assert!(!text.contains("rtmpull_stream"), "{text}");
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
    }
}
