//! Cost of RTMPT, compared with rtmpdump and ffmpeg if they are installed: `cargo bench --bench
//! tunnel`.
//!
//! An RTMPT front relays the bytes of a plain RTMP server in answers of 32 KiB. The programs run in
//! turn against the same server.

mod measure;
#[path = "../server/mod.rs"]
mod server;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use measure::{CpuTime, is_quick};
use server::{
    Config, DelayedConnection, FaultAction, FaultPoint, Handshake, Pace, Replay, Server, Step,
    Stream, Tunnel, TunnelConfig,
};

fn main() {
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which only Linux has");
        return;
    }
    let seconds = if is_quick() { 2 } else { 10 };
    println!("2 MB/s through answers of 32 KiB, {seconds} s of stream\n");
    println!("| round trip | source | program | s | MB/s | of its pace | requests/s |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (round_trip_ms, pace) in [
        (50, Pace::Speed(1.0)),
        (50, Pace::Unbounded),
        (0, Pace::Unbounded),
    ] {
        pull(round_trip_ms, pace, seconds);
    }
    println!("\n| live stream | program | CPU | requests/s |");
    println!("| --- | --- | --- | --- |");
    let waited = Duration::from_secs(10);
    wait("silent", true, waited);
    wait("2 MB/s", false, waited);
}

/// Prints a row for each program that downloads the stream.
fn pull(round_trip_ms: u64, pace: Pace, seconds: u32) {
    let stream = Stream::recorded(Replay::clip(seconds)).paced(pace);
    let server = Server::start(Config {
        handshake: Handshake::Plain,
        ..Config::serving(stream)
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    for program in PROGRAMS {
        let front = Tunnel::start(server.port(), TunnelConfig::default());
        let one_way = Duration::from_millis(round_trip_ms / 2);
        let line = DelayedConnection::start(front.port(), one_way);
        let port = if round_trip_ms > 0 {
            line.port()
        } else {
            front.port()
        };
        let start = Instant::now();
        let Some(mut child) = start_program(program, port, &file) else {
            println!("| {round_trip_ms} ms | | {program} | not installed | | | |");
            continue;
        };
        child.wait().expect("the child process can be waited for");
        let elapsed = start.elapsed().as_secs_f64();
        let bytes = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let source = if pace == Pace::Unbounded {
            "unpaced"
        } else {
            "paced"
        };
        let megabytes = bytes as f64 / 1e6;
        println!(
            "| {round_trip_ms} ms | {source} | {program} | {elapsed:.2} | {:.2} | {:.0} % | {:.0} |",
            megabytes / elapsed,
            100.0 * megabytes / elapsed / 2.0,
            requests(&front) / elapsed,
        );
        // Other programs may be so slow that the server closes the connection first.
        let is_complete = megabytes > 1.99 * f64::from(seconds);
        assert!(is_complete || program != "rtmpull", "{megabytes} MB");
        fs::remove_file(&file).expect("the file was written");
    }
}

/// Prints the cost of each program during a silent or paced stream.
fn wait(name: &str, is_silent: bool, waited: Duration) {
    let stream = Stream::live(Replay::clip(30));
    let mut config = Config::serving(stream);
    if is_silent {
        config = config.with_fault(FaultPoint::Step(Step::Media), FaultAction::Silence);
    }
    let server = Server::start(Config {
        handshake: Handshake::Plain,
        ..config
    });
    for program in PROGRAMS {
        let front = Tunnel::start(server.port(), TunnelConfig::default());
        let Some(mut child) = start_program(program, front.port(), Path::new("/dev/null")) else {
            println!("| {name} | {program} | not installed | |");
            continue;
        };
        // Exclude the start of the program.
        thread::sleep(Duration::from_secs(1));
        let (cpu, sent) = (cpu_seconds(&child), requests(&front));
        thread::sleep(waited);
        let cpu = cpu_seconds(&child) - cpu;
        let sent = requests(&front) - sent;
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("the child process can be waited for");
        let waited = waited.as_secs_f64();
        println!(
            "| {name} | {program} | {:.2} % | {:.1} |",
            100.0 * cpu / waited,
            sent / waited
        );
    }
}

fn requests(front: &Tunnel) -> f64 {
    let requests = front.requests();
    (requests.opens + requests.sends + requests.idles + requests.closes) as f64
}

fn start_program(name: &str, port: u16, file: &Path) -> Option<Child> {
    let url = format!("rtmpt://127.0.0.1:{port}/app/clip");
    let file = file.display().to_string();
    let mut command = match name {
        "rtmpull" => Command::new(env!("CARGO_BIN_EXE_rtmpull")),
        _ => Command::new(name),
    };
    match name {
        "ffmpeg" => command.args(["-loglevel", "error", "-nostdin", "-y", "-i", &url]),
        _ => command.args(["-q", "-r", &url]),
    };
    match name {
        "ffmpeg" => command.args(["-c", "copy", "-f", "flv", &file]),
        _ => command.args(["-o", &file]),
    };
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    quiet.stderr(Stdio::null()).spawn().ok()
}

fn cpu_seconds(child: &Child) -> f64 {
    CpuTime::of(child.id())
        .expect("the process is running")
        .sum()
}

const PROGRAMS: [&str; 3] = ["rtmpull", "rtmpdump", "ffmpeg"];
