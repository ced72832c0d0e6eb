//! Cost of many streams in one process: `cargo bench --bench streams`.
//!
//! A server in another process sends streams of 1 Mbit/s (H.264 and AAC) in real time. Words after `--` select
//! measurements: `live`, `waiting`. The folder of the recordings is in memory (`/dev/shm`) if that exists.

#[path = "../../server/mod.rs"]
mod server;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rtmpull::{
    cli::{
        args::Args,
        job::{self, Environment},
    },
    download::{self, Report, Stop},
};
use server::{Clip, Config, LiveReplay, OnMissing, Server, Stream, Tag};
use tempfile::TempDir;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", seconds, missing] => serve(number(seconds), missing),
        ["record", url, count, folder, ref options @ ..] => {
            record(url, number(count), folder, options);
        }
        _ if !cfg!(target_os = "linux") => {
            println!("this bench reads /proc, which only Linux has");
        }
        _ => measure(&words),
    }
}

fn measure(words: &[&str]) {
    // `cargo test --benches` and manual runs without --bench are short.
    let is_quick = !words.contains(&"--bench");
    let selects_all = words.iter().all(|word| word.starts_with('-'));
    let is_wanted = |name| selects_all || words.contains(&name);
    let (is_live, is_waiting) = (is_wanted("live"), is_wanted("waiting"));
    if is_live {
        let (count, seconds) = if is_quick { (20, 4) } else { (500, 60) };
        live(count_of(words).unwrap_or(count), seconds);
    }
    if is_waiting {
        let (count, seconds) = if is_quick { (20, 2) } else { (2_000, 60) };
        waiting(count_of(words).unwrap_or(count), seconds);
    }
}

/// Returns the number of streams given as `--count=N`.
fn count_of(words: &[&str]) -> Option<u64> {
    words
        .iter()
        .find_map(|word| word.strip_prefix("--count="))
        .map(number)
}

/// Measures live streams of 1 Mbit/s, and verifies each frame of each file.
fn live(count: u64, seconds: u64) {
    let server = ServerProcess::start(seconds, "");
    let folder = folder();
    println!("| {count} streams, {seconds} s | CPU % of a core | peak MiB | KiB per stream |");
    println!("| --- | --- | --- | --- |");
    let mut child = server.recorder("live", count, &folder, &["--live", "--retry", "3"]);
    let usage = Usage::of(&mut child, Duration::from_secs(seconds / 2));
    usage.print("rtmpull", count);
    println!("{}", verify(folder.path(), count, seconds));
}

/// Measures streams that are not published.
fn waiting(count: u64, seconds: u64) {
    let folder = folder();
    println!("| {count} streams, {seconds} s | CPU % of a core | peak MiB | KiB per stream |");
    println!("| --- | --- | --- | --- |");
    for (name, options) in [
        ("idle", &["--live", "--wait"][..]),
        ("missing", &["--live", "--wait"][..]),
    ] {
        let server = ServerProcess::start(seconds, name);
        let mut child = server.recorder(name, count, &folder, options);
        let settled = Duration::from_secs(seconds / 3);
        let usage = Usage::of_running(child.id(), settled, Duration::from_secs(seconds));
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("a child process");
        usage.print(name, count);
    }
}

/// CPU time and memory of a process.
struct Usage {
    cpu_percent: f64,
    peak_mib: f64,
    now_mib: f64,
}

impl Usage {
    /// Measures the CPU time between `settled` and the end of the process or a fixed time after it.
    fn of(child: &mut Child, length: Duration) -> Self {
        let usage = Self::of_running(child.id(), length / 2, length);
        let status = child.wait().expect("a child process");
        assert!(status.success(), "the recorder failed: {status}");
        usage
    }

    fn of_running(pid: u32, settled: Duration, length: Duration) -> Self {
        thread::sleep(settled);
        let (start, before) = (Instant::now(), cpu_seconds(pid));
        thread::sleep(length);
        let cpu = cpu_seconds(pid) - before;
        Self {
            cpu_percent: 100.0 * cpu / start.elapsed().as_secs_f64(),
            peak_mib: memory_mib(pid, "VmHWM:"),
            now_mib: memory_mib(pid, "VmRSS:"),
        }
    }

    fn print(&self, name: &str, count: u64) {
        println!(
            "| {name} | {:.1} | {:.1} (now {:.1}) | {:.0} |",
            self.cpu_percent,
            self.peak_mib,
            self.now_mib,
            self.peak_mib * 1024.0 / count as f64
        );
    }
}

/// The server in another process.
struct ServerProcess {
    child: Child,
    port: u16,
}

impl ServerProcess {
    fn start(seconds: u64, missing: &str) -> Self {
        let mut child = this_program(&["serve", &seconds.to_string(), missing])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the port");
        let port = line.trim().parse().expect("the port");
        Self { child, port }
    }

    /// Starts a process that records `count` streams.
    fn recorder(&self, name: &str, count: u64, folder: &TempDir, options: &[&str]) -> Child {
        let url = format!("rtmp://127.0.0.1:{}/app/{name}", self.port);
        let count = count.to_string();
        let folder = folder.path().to_string_lossy();
        this_program(&["record", &url, &count, &folder])
            .args(options)
            .spawn()
            .expect("this program starts again")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn this_program(words: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.args(words);
    command
}

/// Serves streams until the process is killed.
fn serve(seconds: u64, missing: &str) {
    let live = Arc::new(LiveReplay::looping(
        &LiveReplay::megabit(),
        seconds / ROUND_SECONDS,
    ));
    let server = Server::start(Config {
        streams: [("live".to_owned(), Stream::live_replay(live.clone()))].into(),
        chunk_size: live.chunk_size(),
        missing: if missing == "idle" {
            OnMissing::StartThenSilence
        } else {
            OnMissing::StreamNotFound
        },
        ..Config::default()
    });
    println!("{}", server.port());
    loop {
        thread::park();
    }
}

/// Records `count` streams in this process, one future each.
fn record(url: &str, count: u64, folder: &str, options: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let mut tasks = Vec::new();
    for stream in 0..count {
        let file = file_of(Path::new(folder), stream);
        let words = ["rtmpull", "-q", url, "-o", &file]
            .into_iter()
            .chain(options.iter().copied());
        let args = Args::read(words.map(Into::into)).unwrap_or_else(|_| panic!("valid options"));
        let mut job = job::resolve(&args, &Environment::here()).expect("a valid job");
        job.history_frames = download::history_frames(count as usize);
        tasks.push(local.spawn_local(async move {
            tokio::time::sleep(STAGGER * stream as u32).await;
            let (_stopper, stop) = Stop::new();
            download::run(&job, &mut Silent, stop).await
        }));
    }
    local.block_on(&runtime, async {
        for task in tasks {
            let outcome = task.await.expect("no panic");
            if outcome.ending != download::Ending::Unpublished {
                println!("{}: {}", outcome.ending, outcome.reason);
            }
        }
    });
}

struct Silent;

impl Report for Silent {}

/// Compares each file with the frames that the server sent.
fn verify(folder: &Path, count: u64, seconds: u64) -> String {
    let clip = LiveReplay::megabit();
    let frames: Vec<&Tag> = clip
        .media()
        .filter(|tag| !tag.is_sequence_header())
        .collect();
    let rounds = (seconds / ROUND_SECONDS) as usize;
    let mut total = 0;
    for stream in 0..count {
        let file = Clip::read(Path::new(&file_of(folder, stream)));
        let written: Vec<&Tag> = file
            .media()
            .filter(|tag| !tag.is_sequence_header())
            .collect();
        assert_eq!(
            written.len(),
            rounds * frames.len(),
            "frames of stream {stream}"
        );
        let sent = frames.iter().cycle();
        for (written, sent) in written.iter().zip(sent) {
            assert!(
                written.kind == sent.kind && written.body == sent.body,
                "a frame of stream {stream} differs"
            );
        }
        total += written.len();
    }
    format!("{total} frames in {count} files, all as sent")
}

fn file_of(folder: &Path, stream: u64) -> String {
    folder.join(format!("{stream}.flv")).display().to_string()
}

/// Returns a folder in memory if possible.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a folder")
    } else {
        tempfile::tempdir().expect("a folder")
    }
}

/// Returns the CPU time of a process, in seconds (fields 14 and 15 of /proc/PID/stat).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .map(|field| field.parse::<f64>().expect("a count of ticks"))
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// Returns a field of the memory of a process, in MiB.
fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("the field");
    let kib = line
        .split_whitespace()
        .nth(1)
        .expect("a value")
        .parse::<f64>();
    kib.expect("a number") / 1024.0
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

/// Length of the repeated clip.
const ROUND_SECONDS: u64 = 2;

/// Time between the starts of two streams.
const STAGGER: Duration = Duration::from_millis(4);

/// USER_HZ, which is 100 for user space on every Linux machine.
const TICKS_PER_SECOND: f64 = 100.0;
