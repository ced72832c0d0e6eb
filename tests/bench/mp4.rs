//! Cost of MP4 compared with FLV: `cargo bench --bench mp4`.
//!
//! Words after `--` select measurements: `cpu`, `finish`, `latency`, `memory`. The programs run in turn, because the
//! speed of a machine varies: compare the ratios, not the seconds. Files are written to memory (`/dev/shm`) and to
//! the folder for temporary files, which should be on a disk.

mod measure;
#[path = "../server/mod.rs"]
mod server;

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use measure::{CpuTime, is_quick, is_wanted, median, peak_memory_mib, sorted};
use server::{Broadcast, Clip, Config, Replay, SentFrame, Server, Stream, Tag};
use tempfile::TempDir;

fn main() {
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which only Linux has");
        return;
    }
    let is_quick = is_quick();
    if is_wanted("cpu") {
        cpu(
            if is_quick { 50 << 20 } else { 800_000_000 },
            if is_quick { 1 } else { 9 },
        );
    }
    if is_wanted("finish") {
        finish(
            if is_quick { 60 } else { 600 },
            if is_quick { 1 } else { 7 },
        );
    }
    if is_wanted("latency") {
        latency(if is_quick { 8 } else { 30 }, if is_quick { 1 } else { 4 });
    }
    if is_wanted("memory") {
        memory(if is_quick { 1 } else { 24 });
    }
}

/// Measures the CPU time of complete downloads. The system time of an MP4 file on a disk includes its sync, which
/// passes all pages to the disk. FLV files are not synced at the end: kernel threads pass their pages to the disk
/// later, and their time does not count for a process. FLV with a sync is therefore measured as well.
fn cpu(bytes: u64, turns: usize) {
    println!(
        "CPU time of a download of {} MB in seconds, medians of {turns} turns\n",
        bytes / 1_000_000
    );
    println!("| folder | output | user | × FLV | system | sum | × FLV | least sum | × FLV |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let server = replaying(Replay::new(4_096, bytes));
    for (place, folder) in folders() {
        let mut commands = [
            ("FLV", command(&server, &folder, "out.flv")),
            (
                "FLV and `sync`",
                with_sync(command(&server, &folder, "out.flv")),
            ),
            ("MP4", command(&server, &folder, "out.mp4")),
            ("MP4, not finished (`--no-index`)", {
                let mut command = command(&server, &folder, "out.mp4");
                command.arg("--no-index");
                command
            }),
        ];
        let mut times: Vec<Vec<CpuTime>> = commands.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for ((_, command), times) in commands.iter_mut().zip(&mut times) {
                clear(&folder);
                times.push(cpu_time_of(command));
            }
        }
        let median_of = |of: fn(&CpuTime) -> f64| -> Vec<f64> {
            let median_of = |times: &Vec<CpuTime>| median(times.iter().map(of));
            times.iter().map(median_of).collect()
        };
        let (user, system) = (median_of(|time| time.user), median_of(|time| time.system));
        let sum = median_of(CpuTime::sum);
        // Other programs and the host of a virtual machine only add time, so the least one is the most exact.
        let least =
            |times: &Vec<CpuTime>| times.iter().map(CpuTime::sum).fold(f64::INFINITY, f64::min);
        let least: Vec<f64> = times.iter().map(least).collect();
        for (at, (name, _)) in commands.iter().enumerate() {
            println!(
                "| {place} | {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                user[at],
                user[at] / user[0],
                system[at],
                sum[at],
                sum[at] / sum[0],
                least[at],
                least[at] / least[0],
            );
        }
    }
    println!();
}

/// Measures the time from the last complete fragments of a recording to the end of the program: the stream ends
/// in this time, the tables are written, and the file is synced and changed to a plain one.
fn finish(seconds: u64, turns: usize) {
    println!("finishing {seconds} s of 8 Mbit/s, medians of {turns} turns\n");
    println!("| folder | MB | tables kB | ms |");
    println!("| --- | --- | --- | --- |");
    let server = replaying(Replay::looping(&eight_megabits(), seconds));
    for (place, folder) in folders() {
        let (mut end, mut size) = (u64::MAX, 0);
        let mut times = Vec::new();
        // The first turn finds the size.
        for turn in 0..=turns {
            clear(&folder);
            let mut command = command(&server, &folder, "out.mp4");
            let mut child = quietly(&mut command);
            let file = folder.path().join("out.mp4");
            let mut reached = None;
            while child.try_wait().expect("a child process").is_none() {
                let length = fs::metadata(&file).map_or(0, |file| file.len());
                if length >= end && reached.is_none() {
                    reached = Some(Instant::now());
                }
                thread::sleep(Duration::from_micros(200));
            }
            if let Some(reached) = reached.filter(|_| turn > 0) {
                times.push(reached.elapsed().as_secs_f64() * 1000.0);
            }
            let bytes = fs::read(&file).expect("the file exists");
            size = bytes.len() as u64;
            // The header of the `mdat` box contains the end of the fragments.
            let length = bytes.get(40..48).expect("a finished file");
            let length = u64::from_be_bytes(length.try_into().expect("eight bytes"));
            // Two fragments before the end.
            end = 32 + length - 2_200_000;
        }
        let tables = (size - end - 2_200_000) / 1000;
        println!(
            "| {place} | {} | {tables} | {:.0} |",
            size / 1_000_000,
            median(times)
        );
    }
    println!();
}

/// Measures the time from sending a frame to its arrival in the pipe. The outputs take turns, because other programs
/// on the machine delay both.
fn latency(seconds: u32, turns: usize) {
    println!(
        "latency from the server to the pipe, {turns} turns of {seconds} s at four times the speed\n"
    );
    println!(
        "| output | frames | median ms | p99 ms | largest ms | keyframes | median ms | p90 ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let outputs = [
        ("FLV", &[][..]),
        (
            "MP4, `--fragment 0`",
            &["--format", "mp4", "--fragment", "0"],
        ),
    ];
    let mut delays: Vec<Vec<Delay>> = outputs.iter().map(|_| Vec::new()).collect();
    for _ in 0..turns {
        for ((_, options), delays) in outputs.iter().zip(&mut delays) {
            delays.extend(delays_of(options, seconds));
        }
    }
    for ((name, _), delays) in outputs.iter().zip(&delays) {
        let keyframes = delays.iter().filter(|delay| delay.is_keyframe);
        let keyframes = sorted(keyframes.map(|delay| delay.ms));
        let all = sorted(delays.iter().map(|delay| delay.ms));
        let at = |delays: &[f64], part: f64| delays[(delays.len() as f64 * part) as usize];
        println!(
            "| {name} | {} | {:.2} | {:.2} | {:.2} | {} | {:.2} | {:.2} |",
            all.len(),
            at(&all, 0.5),
            at(&all, 0.99),
            at(&all, 0.999_999),
            keyframes.len(),
            at(&keyframes, 0.5),
            at(&keyframes, 0.9),
        );
    }
    println!();
}

/// Delay of one frame.
struct Delay {
    ms: f64,
    is_keyframe: bool,
}

/// Records a clip of this length into a pipe and returns the delays of its frames.
fn delays_of(options: &[&str], seconds: u32) -> Vec<Delay> {
    let broadcast = Arc::new(Broadcast::new(Replay::clip(seconds), 4.0, false));
    let server = Server::start(Config::serving(Stream::broadcast(Arc::clone(&broadcast))));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    command
        .args(["-q", "-v", &server.url("clip"), "-o", "-"])
        .args(options);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("rtmpull is built");
    let pipe = child.stdout.take().expect("a pipe");
    let arrivals = match options.is_empty() {
        true => arrivals(pipe, flv_frames),
        false => arrivals(pipe, mp4_frames),
    };
    let _ended = child.wait();
    let sent = broadcast.sent();
    let sent: Vec<_> = sent
        .iter()
        .filter(|frame| !frame.is_sequence_header && frame.kind != Tag::SCRIPT)
        .collect();
    assert_eq!(arrivals.len(), sent.len(), "each frame arrives");
    // The first frames wait for the setup of both tracks.
    let pairs = sent.iter().zip(&arrivals).skip(20);
    let delay = |(sent, arrival): (&&SentFrame, &Instant)| Delay {
        ms: arrival
            .saturating_duration_since(sent.sent_at)
            .as_secs_f64()
            * 1000.0,
        // Each second of the clip starts with a keyframe.
        is_keyframe: sent.kind == Tag::VIDEO && sent.at_ms.is_multiple_of(1000),
    };
    pairs.map(delay).collect()
}

/// Reads a pipe to its end, and returns the time of arrival of each frame. `frames` returns the length of the
/// tag or box at the start of the bytes, and the number of its frames.
fn arrivals(mut pipe: impl Read, frames: fn(&[u8]) -> Option<(usize, usize)>) -> Vec<Instant> {
    let (mut arrivals, mut bytes) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = pipe.read(&mut buffer).expect("a pipe");
        if count == 0 {
            return arrivals;
        }
        let now = Instant::now();
        bytes.extend_from_slice(&buffer[..count]);
        let mut at = 0;
        while let Some((length, frames)) =
            frames(&bytes[at..]).filter(|(length, _)| *length <= bytes.len() - at)
        {
            arrivals.extend(std::iter::repeat_n(now, frames));
            at += length;
        }
        bytes.drain(..at);
    }
}

/// Returns the length of the FLV header or tag, and 1 if the tag contains a frame.
fn flv_frames(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes.starts_with(b"FLV") {
        return Some((13, 0));
    }
    let [kind, a, b, c, ..] = *bytes.get(..13)? else {
        return None;
    };
    let is_frame = kind != Tag::SCRIPT && bytes[12] != 0;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    Some((length + 15, usize::from(is_frame)))
}

/// Returns the length of a box, with the `mdat` box after a `moof` box, and the number of its frames.
fn mp4_frames(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = |at: usize| {
        let length = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(length.try_into().ok()?) as usize)
    };
    let first = length(0)?;
    if bytes.get(4..8)? != b"moof" {
        return Some((first, 0));
    }
    let moof = bytes.get(..first)?;
    let runs = moof
        .windows(4)
        .enumerate()
        .filter(|(_, name)| name == b"trun");
    let counts = runs.filter_map(|(at, _)| length(at + 8));
    Some((first + length(first)?, counts.sum()))
}

/// Measures the peak memory of a recording of this number of hours with 30 pictures per second and AAC.
fn memory(hours: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("| hours | samples | output | peak MiB after a tenth | at the end |");
    println!("| --- | --- | --- | --- | --- |");
    let rounds = hours * 3_600_000 / 1600;
    let replay = Replay::looping(&usual_rates(), rounds);
    let samples = replay.messages() - 2;
    let server = replaying(replay);
    for output in ["out.flv", "out.mp4"] {
        let mut child = quietly(&mut command(&server, &folder, output));
        let file = folder.path().join(output);
        let (mut early, mut late) = (0.0, 0.0);
        while child.try_wait().expect("a child process").is_none() {
            late = peak_memory_mib(child.id()).unwrap_or(late);
            let length = fs::metadata(&file).map_or(0, |file| file.len());
            if length < rounds * 3_678 / 10 {
                early = late;
            }
            thread::sleep(Duration::from_millis(5));
        }
        println!("| {hours} | {samples} | {output} | {early:.1} | {late:.1} |");
    }
    println!();
}

/// Returns 1.6 seconds with 30 pictures per second and AAC at 48 kHz.
fn usual_rates() -> Clip {
    let mut tags: Vec<_> = Clip::thin().tags;
    tags.retain(|tag| tag.kind != Tag::SCRIPT && tag.is_sequence_header());
    let pictures = (0..48).map(|number| Tag {
        kind: Tag::VIDEO,
        timestamp_ms: (number * 1000 + 15) / 30,
        body: [
            &[if number == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0][..],
            &[7; 20],
        ]
        .concat(),
    });
    let sounds = (0..75).map(|number| Tag {
        kind: Tag::AUDIO,
        timestamp_ms: (number * 1024 + 24) / 48,
        body: [&[0xAF, 1][..], &[7; 10]].concat(),
    });
    let mut frames: Vec<_> = pictures.chain(sounds).collect();
    frames.sort_by_key(|tag| tag.timestamp_ms);
    tags.extend(frames);
    Clip { tags }
}

/// Returns one second of half the usual rate.
fn eight_megabits() -> Clip {
    let mut clip = Replay::clip(1);
    let pictures = clip
        .tags
        .iter_mut()
        .filter(|tag| tag.kind == Tag::VIDEO && !tag.is_sequence_header());
    pictures.for_each(|tag| tag.body.truncate(tag.body.len() / 2));
    clip
}

fn replaying(replay: Replay) -> Server {
    let chunk_size = replay.chunk_size();
    Server::start(Config {
        streams: [("clip".to_owned(), Stream::replay(Arc::new(replay)))].into(),
        chunk_size,
        ..Config::default()
    })
}

/// Returns folders in memory and on a disk.
fn folders() -> Vec<(&'static str, TempDir)> {
    let memory = Path::new("/dev/shm");
    let memory = memory
        .is_dir()
        .then(|| tempfile::tempdir_in(memory).expect("a folder"));
    let disk = tempfile::tempdir().expect("a temporary folder");
    let memory = memory.map(|folder| ("memory", folder));
    memory.into_iter().chain([("disk", disk)]).collect()
}

fn command(server: &Server, folder: &TempDir, output: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    command
        .args(["-q", &server.url("clip"), "-o"])
        .arg(folder.path().join(output));
    command
}

/// Syncs the output, which is the last argument, after the program has ended.
fn with_sync(command: Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "\"$0\" \"$@\" && for file; do :; done && sync -d \"$file\"",
    ]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn quietly(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("the program is installed")
}

fn clear(folder: &TempDir) {
    for entry in fs::read_dir(folder.path()).expect("a folder").flatten() {
        fs::remove_file(entry.path()).expect("a file");
    }
}

fn cpu_time_of(command: &mut Command) -> CpuTime {
    let before = CpuTime::of_finished_children();
    let status = quietly(command).wait().expect("a child process");
    assert!(status.success(), "{command:?}: {status}");
    let after = CpuTime::of_finished_children();
    CpuTime {
        user: after.user - before.user,
        system: after.system - before.system,
    }
}
