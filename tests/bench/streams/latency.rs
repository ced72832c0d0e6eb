//! Time from sending a frame to its arrival in the file, with other streams in the same process.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    folder,
    measure::sorted,
    program::{Processes, RTMPULL, recorder, start_time, write_streams},
    server::{Broadcast, Clip, Config, LiveReplay, SentFrame, Server, Stream, Tag},
    server_process::{LIVE, Missing, ROUND_SECONDS, ServerProcess},
};

/// Streams that are recorded beside the measured stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    None,
    /// One stream to an unread FIFO, and one to a disk that becomes full.
    Stuck,
    /// This number of streams to files in the folder of the measured stream.
    Healthy(u64),
}

/// Measures one stream of `seconds` alone, beside streams with a stuck output, and beside `count` other streams.
pub(crate) fn measure(count: u64, seconds: u64, turns: usize) {
    println!("frames of 1 Mbit/s, from the server to the file, {turns} turns of {seconds} s\n");
    println!("| other streams | frames | median ms | p99 ms | largest ms |");
    println!("| --- | --- | --- | --- | --- |");
    let scenarios = [Others::None, Others::Stuck, Others::Healthy(count)];
    let mut delays: Vec<Vec<f64>> = scenarios.iter().map(|_| Vec::new()).collect();
    let others = ServerProcess::start(seconds + 10, Missing::NotFound);
    for _ in 0..turns {
        for (scenario, delays) in scenarios.iter().zip(&mut delays) {
            delays.extend(delays_of(*scenario, &others, seconds));
        }
    }
    for (scenario, delays) in scenarios.iter().zip(delays) {
        let delays = sorted(delays);
        let at = |part: f64| delays[(delays.len() as f64 * part) as usize];
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} |",
            scenario.name(),
            delays.len(),
            at(0.5),
            at(0.99),
            at(0.999_999),
        );
    }
    println!();
}

impl Others {
    fn name(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Stuck => "an unread FIFO, a disk that becomes full".to_owned(),
            Self::Healthy(count) => format!("{count} of 1 Mbit/s"),
        }
    }

    /// Returns the number of streams to files in the folder of the measured stream.
    fn to_files(self) -> u64 {
        match self {
            Self::None | Self::Stuck => 0,
            Self::Healthy(count) => count,
        }
    }
}

/// Records one stream beside others, and returns the delay of each frame in milliseconds.
fn delays_of(others: Others, server_of_others: &ServerProcess, seconds: u64) -> Vec<f64> {
    let round_ms = ROUND_SECONDS as u32 * 1000;
    let clip = LiveReplay::megabit().repeated((seconds / ROUND_SECONDS) as u32, round_ms);
    let broadcast = Arc::new(Broadcast::new(clip, 1.0, false));
    let server = Server::start(Config::serving(Stream::broadcast(Arc::clone(&broadcast))));
    let folder = folder();
    let file = folder.path().join("measured.flv");
    let stuck = (others == Others::Stuck).then(|| Stuck::prepare(folder.path()));
    let tables = stuck.as_ref().map_or_else(String::new, Stuck::tables);
    // The last stream of the list starts after the others.
    let tables = format!(
        "{tables}[[stream]]\nname = \"measured\"\nurl = \"{}\"\n",
        server.url("clip")
    );
    let defaults = format!(
        "url = \"{}\"\nlive = true\nrepublish-wait = 0",
        server_of_others.url(LIVE)
    );
    let streams = write_streams(folder.path(), &defaults, others.to_files(), &tables);
    let mut command = recorder(RTMPULL.as_ref(), &streams);
    if let Some(stuck) = &stuck {
        command = stuck.with_small_disk(command, seconds);
    }
    let _processes = Processes::of(&mut command);
    let start_up = start_time(others.to_files()) + Duration::from_secs(3);
    let growth = growth_of(&file, start_up + Duration::from_secs(seconds));
    delays(&frame_ends(&file), &broadcast.sent(), &growth)
}

/// Outputs that stop accepting bytes.
#[derive(Debug)]
struct Stuck {
    fifo: PathBuf,
    /// A FIFO accepts bytes, until its buffer is full, only if a process has opened it for reading.
    _reader: File,
    /// The mount point of a small disk, if this process may mount disks.
    disk: Option<PathBuf>,
}

impl Stuck {
    /// Creates the outputs in a folder.
    fn prepare(folder: &Path) -> Self {
        let fifo = folder.join("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo failed");
        // Opening only for reading waits for the writer.
        let reader = OpenOptions::new().read(true).write(true).open(&fifo);
        let mounts = Command::new("unshare").args(["-m", "true"]).status();
        let disk = mounts
            .is_ok_and(|status| status.success())
            .then(|| folder.join("disk"));
        if let Some(disk) = &disk {
            fs::create_dir(disk).expect("a folder");
        }
        Self {
            fifo,
            _reader: reader.expect("a FIFO"),
            disk,
        }
    }

    /// Returns the streams to these outputs. `/dev/full` replaces the disk if mounting is not permitted.
    fn tables(&self) -> String {
        let full = match &self.disk {
            Some(disk) => disk.join("full.flv"),
            None => "/dev/full".into(),
        };
        let table = |(name, output): (&str, &Path)| {
            format!(
                "[[stream]]\nname = \"{name}\"\noutput = \"{}\"\n",
                output.display()
            )
        };
        [("fifo", &*self.fifo), ("full", &*full)]
            .map(table)
            .concat()
    }

    /// Returns the command with the disk mounted for it. The disk becomes full in the middle of `seconds`.
    fn with_small_disk(&self, command: Command, seconds: u64) -> Command {
        let Some(disk) = &self.disk else {
            return command;
        };
        let script = "mount -t tmpfs -o \"size=$0k\" tmpfs \"$1\"; shift; exec \"$@\"";
        let kilobytes = seconds * 125 / 2;
        let mut outer = Command::new("unshare");
        outer
            .args(["-m", "sh", "-c", script, &kilobytes.to_string()])
            .arg(disk);
        outer.arg(command.get_program()).args(command.get_args());
        outer
    }
}

/// Returns each length that a file reaches within this time, with the time at which it was seen.
fn growth_of(file: &Path, time: Duration) -> Vec<(Instant, u64)> {
    let end = Instant::now() + time;
    let mut growth = Vec::new();
    let mut last = 0;
    while Instant::now() < end {
        let length = fs::metadata(file).map_or(0, |file| file.len());
        if length > last {
            last = length;
            growth.push((Instant::now(), length));
        }
        thread::sleep(Duration::from_millis(1));
    }
    growth
}

/// Returns the position of the end of each frame in an FLV file.
fn frame_ends(file: &Path) -> Vec<u64> {
    let clip = Clip::read(file);
    let mut end = FLV_HEADER_LEN;
    let mut ends = Vec::new();
    for tag in clip.tags {
        end += FLV_TAG_OVERHEAD + tag.body.len() as u64;
        if tag.kind != Tag::SCRIPT && !tag.is_sequence_header() {
            ends.push(end);
        }
    }
    ends
}

/// Returns the time from sending each frame to its arrival in the file, in milliseconds.
fn delays(ends: &[u64], sent: &[SentFrame], growth: &[(Instant, u64)]) -> Vec<f64> {
    let is_frame = |frame: &&SentFrame| !frame.is_sequence_header && frame.kind != Tag::SCRIPT;
    let sent: Vec<_> = sent.iter().filter(is_frame).collect();
    assert_eq!(ends.len(), sent.len(), "each frame is in the file");
    let delay = |(end, frame): (&u64, &SentFrame)| {
        let written = growth.partition_point(|(_, length)| length < end);
        let (arrival, _) = growth[written];
        arrival
            .saturating_duration_since(frame.sent_at)
            .as_secs_f64()
            * 1000.0
    };
    ends.iter().zip(sent).map(delay).collect()
}

/// Length of the header of an FLV file with the first PreviousTagSize.
const FLV_HEADER_LEN: u64 = 9 + 4;

/// Length of the header of a tag with the PreviousTagSize after it.
const FLV_TAG_OVERHEAD: u64 = 11 + 4;
