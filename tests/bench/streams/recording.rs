//! Live streams of 1 Mbit/s, recorded by one or several programs in turn.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    folder,
    measure::median,
    program::{Program, file_of},
    server::{Clip, LiveReplay, Tag},
    server_process::{LIVE, Missing, ROUND_SECONDS, ServerProcess},
};

/// Measures `count` streams of rtmpull for `seconds`.
pub(crate) fn live(count: u64, seconds: u64) {
    take_turns(&[(Program::rtmpull(), count)], count, seconds, 1);
}

/// Measures rtmpull, rtmpdump and ffmpeg in turn, each for `seconds`.
pub(crate) fn compare(count: u64, seconds: u64, turns: usize) {
    let mut programs = vec![
        (Program::rtmpull(), count),
        (Program::Rtmpdump, count),
        (Program::Ffmpeg, count.div_ceil(STREAMS_FOR_EACH_FFMPEG)),
    ];
    programs.extend(Program::rtmpull_before().map(|before| (before, count)));
    take_turns(&programs, count, seconds, turns);
}

/// Lets each program record its number of streams, which is `count` or less, in turn, and prints a row for each
/// program.
fn take_turns(programs: &[(Program, u64)], count: u64, seconds: u64, turns: usize) {
    println!(
        "1 Mbit/s for {seconds} s each, medians of {turns} turns; the first program is the base of the ratios\n"
    );
    println!(
        "| program | streams | CPU % of a core | per stream | ratio | PSS MiB | KiB per stream | ratio | peak RSS MiB | \
         complete files |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let server = ServerProcess::start(start_up_seconds(count) + seconds, Missing::NotFound);
    let mut measured: Vec<Vec<Turn>> = programs.iter().map(|_| Vec::new()).collect();
    for _ in 0..turns {
        for ((program, count), turns) in programs.iter().zip(&mut measured) {
            turns.extend(Turn::measure(program, &server, *count, seconds));
        }
    }
    let mut base = None;
    for ((program, count), turns) in programs.iter().zip(measured) {
        if turns.is_empty() {
            println!("| {} | not installed | | | | | | | | |", program.name());
            continue;
        }
        let of = |value: fn(&Turn) -> f64| median(turns.iter().map(value));
        let (cpu, memory) = (of(|turn| turn.cpu_percent), of(|turn| turn.memory_mib));
        let streams = *count as f64;
        let (base_cpu, base_memory) = *base.get_or_insert((cpu / streams, memory / streams));
        println!(
            "| {} | {count} | {cpu:.1} | {:.3} | {:.2} | {memory:.1} | {:.0} | {:.2} | {:.1} | {} of {} |",
            program.name(),
            cpu / streams,
            cpu / streams / base_cpu,
            memory / streams * 1024.0,
            memory / streams / base_memory,
            of(|turn| turn.peak_mib),
            turns.iter().map(|turn| turn.complete).sum::<u64>(),
            count * turns.len() as u64,
        );
        let is_other = !matches!(program, Program::Rtmpull { .. });
        assert!(
            is_other || turns.iter().all(|turn| turn.complete == *count),
            "incomplete files"
        );
    }
    println!();
}

/// Measured recording of several streams.
struct Turn {
    cpu_percent: f64,
    memory_mib: f64,
    peak_mib: f64,
    /// Number of files that contain each sent frame.
    complete: u64,
}

impl Turn {
    /// Records `count` streams with a program. Returns `None` if the program is not installed.
    fn measure(
        program: &Program,
        server: &ServerProcess,
        count: u64,
        seconds: u64,
    ) -> Option<Self> {
        let folder = folder();
        let begin = Instant::now();
        let processes = program.start(&server.url(LIVE), count, folder.path())?;
        wait_for_media(folder.path(), count);
        let end = Duration::from_secs(server.stream_seconds() - seconds);
        assert!(
            begin.elapsed() < end,
            "{} needs more than {end:?} to start",
            program.name()
        );
        let (start, before) = (Instant::now(), processes.cpu_seconds());
        thread::sleep(Duration::from_secs(seconds));
        let cpu = processes.cpu_seconds() - before;
        let mut turn = Self {
            cpu_percent: 100.0 * cpu / start.elapsed().as_secs_f64(),
            memory_mib: processes.memory_mib(),
            peak_mib: processes.peak_mib(),
            complete: 0,
        };
        processes.wait();
        turn.complete = complete_files(folder.path(), count, server.stream_seconds());
        Some(turn)
    }
}

/// Waits until each stream has been recorded for about half a second.
fn wait_for_media(folder: &Path, count: u64) {
    let has_media = |stream| {
        let length = fs::metadata(file_of(folder, stream)).map_or(0, |file| file.len());
        length > 64 * 1024
    };
    while !(0..count).all(has_media) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Returns the number of files that contain each frame of a live stream of `seconds`, and nothing else.
fn complete_files(folder: &Path, count: u64, seconds: u64) -> u64 {
    let clip = LiveReplay::megabit();
    let rounds = (seconds / ROUND_SECONDS) as usize;
    let is_complete = |stream: &u64| {
        let bytes = fs::read(file_of(folder, *stream)).unwrap_or_default();
        if bytes.is_empty() || Clip::complete_part(&bytes).len() < bytes.len() {
            return false;
        }
        let file = Clip::parse(&bytes);
        // Other programs may write the two tracks in another order.
        [Tag::AUDIO, Tag::VIDEO].into_iter().all(|kind| {
            let round: Vec<&[u8]> = frames(&clip, kind).collect();
            let sent = round.iter().copied().cycle().take(rounds * round.len());
            frames(&file, kind).eq(sent)
        })
    };
    (0..count).filter(is_complete).count() as u64
}

/// Returns the bodies of the frames of one track.
fn frames(clip: &Clip, kind: u8) -> impl Iterator<Item = &[u8]> {
    let frames = clip
        .media_with_content()
        .filter(move |tag| tag.kind == kind && !tag.is_sequence_header());
    frames.map(|tag| &*tag.body)
}

/// Returns the time for the start of all programs, a multiple of [`ROUND_SECONDS`].
fn start_up_seconds(count: u64) -> u64 {
    ROUND_SECONDS * (2 + count / 25)
}

/// ffmpeg needs the time of two cores for a few hundred streams, and several GB of memory.
const STREAMS_FOR_EACH_FFMPEG: u64 = 5;
