//! Cost of a download, compared with rtmpdump and a plain copy of the same bytes if they are
//! installed: `cargo bench --bench download`.
//!
//! The server replays prepared bytes on loopback. The programs run in turn, because the speed of a
//! machine varies: compare the ratios, not the seconds. CPU is the user and system time of the
//! complete process, as counted by Linux for a finished child (in units of 10 ms).
//!
//! Words after `--` select parts: `plain`, `rtmpe`, `rtmps`, `memory`, `first-byte`.
//! `RTMPULL_BEFORE` names another build of the program to compare with.

mod measure;
#[path = "../server/mod.rs"]
mod server;

use std::{
    env, fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use measure::{CpuTime, is_quick, is_wanted, median, peak_memory_mib};
use rtmpull::core::rtmp::handshake::digest::Scheme;
use server::{Authority, Config, Handshake, Replay, Server, Stream, TlsClose, TlsFront, Validity};

fn main() {
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which only Linux has");
        return;
    }
    let is_quick = is_quick();
    let (bytes, turns) = if is_quick {
        (50 << 20, 1)
    } else {
        (800_000_000, 7)
    };
    println!(
        "{} MB of 16 Mbit/s H.264 + AAC, medians of {turns} turns\n",
        bytes / 1_000_000
    );
    println!("| chunk size | program | CPU s | × plain copy | wall s | peak MiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    if is_wanted("plain") {
        for chunk_size in [128, 4_096, 60_000] {
            compare(chunk_size, bytes, turns);
        }
    }
    if is_wanted("rtmpe") {
        compare_encrypted(bytes, turns);
    }
    if is_wanted("rtmps") {
        compare_in_tls(bytes, turns);
    }
    println!();
    if is_wanted("memory") {
        memory(if is_quick { 200 << 20 } else { 8_000_000_000 });
    }
    if is_wanted("first-byte") {
        first_byte();
    }
}

/// Measures plain rtmp against rtmpdump and a plain copy.
fn compare(chunk_size: u32, bytes: u64, turns: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    let replay = Arc::new(Replay::new(chunk_size, bytes));
    let bare = replay.serve_raw();
    let server = replaying(replay);
    let url = server.url("stream");
    let mut programs = vec![
        Program::rtmpull(&url, &file),
        Program::rtmpdump(&url, &file),
        Program::socat(bare.port(), &file),
    ];
    if let Ok(before) = env::var("RTMPULL_BEFORE") {
        programs.insert(1, Program::rtmpull(&url, &file).of_build(before));
    }
    measure(&chunk_size.to_string(), &programs, &file, bytes, turns);
}

/// Measures rtmpe against rtmpdump and a plain copy of the payload. The server's share of the
/// encryption runs in this process and is not counted.
fn compare_encrypted(bytes: u64, turns: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    let replay = Arc::new(Replay::new(4_096, bytes));
    let bare = replay.serve_raw();
    let server = replaying(replay);
    let url = server.encrypted_url("stream");
    let programs = [
        Program::rtmpull(&url, &file),
        Program::rtmpdump(&url, &file),
        Program::socat(bare.port(), &file),
    ];
    measure("4096, rtmpe", &programs, &file, bytes, turns);
}

/// Measures rtmps against ffmpeg and copies of the same bytes through the same TLS. The last
/// program is the baseline.
fn compare_in_tls(bytes: u64, turns: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    let replay = Arc::new(Replay::new(4_096, bytes));
    let bare = replay.serve_raw();
    let server = replaying(replay);
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let server = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let bare = TlsFront::start(bare.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://127.0.0.1:{}/app/stream", server.port());
    let programs = [
        Program::rtmpull(&url, &file).with(&["--ca-file", &text(&authority.file())]),
        Program::ffmpeg(&url, &file),
        Program::socat_in_tls(bare.port(), &file),
        Program::s_client(bare.port(), &file),
    ];
    measure("4096, rtmps", &programs, &file, bytes, turns);
}

/// Prints a row for each program; the last program is the baseline.
fn measure(label: &str, programs: &[Program], file: &Path, bytes: u64, turns: usize) {
    let mut costs: Vec<Vec<Cost>> = programs.iter().map(|_| Vec::new()).collect();
    for _ in 0..turns {
        for (program, costs) in programs.iter().zip(&mut costs) {
            let _absent_the_first_time = fs::remove_file(file);
            let Some(cost) = program.run() else { continue };
            let written = fs::metadata(file).map_or(0, |metadata| metadata.len());
            assert!(written >= bytes, "{} wrote {written} bytes", program.name);
            costs.push(cost);
        }
    }
    let medians: Vec<Option<Cost>> = costs.into_iter().map(Cost::median_of).collect();
    let copy = medians.last().copied().flatten();
    for (program, cost) in programs.iter().zip(medians) {
        let Some(cost) = cost else {
            println!("| {label} | {} | not installed | | | |", program.name);
            continue;
        };
        let ratio = copy.map_or_else(String::new, |copy| {
            format!("{:.2}", cost.cpu_seconds / copy.cpu_seconds)
        });
        println!(
            "| {label} | {} | {:.2} | {ratio} | {:.2} | {:.1} |",
            program.name, cost.cpu_seconds, cost.wall_seconds, cost.peak_mib
        );
    }
}

/// Prints the peak memory of a short and of a long download.
fn memory(lot: u64) {
    for bytes in [100_000_000, lot] {
        let server = replaying(Arc::new(Replay::new(4_096, bytes)));
        let program = Program::rtmpull(&server.url("stream"), Path::new("/dev/null"));
        let cost = program.run().expect("rtmpull is built");
        println!(
            "peak memory after {} MB: {:.1} MiB",
            bytes / 1_000_000,
            cost.peak_mib
        );
    }
}

/// Prints the time to the first byte on stdout, with a round trip time of 200 ms.
fn first_byte() {
    let server = replaying(Arc::new(Replay::new(4_096, 50_000_000)));
    let line = server::DelayedConnection::start(server.port(), ONE_WAY);
    let url = format!("rtmp://127.0.0.1:{}/app/stream", line.port());
    for program in [
        Program::rtmpull(&url, Path::new("-")),
        Program::rtmpdump(&url, Path::new("-")),
    ] {
        let Some(mut child) = program.start(Stdio::piped()) else {
            println!("first byte of {}: not installed", program.name);
            continue;
        };
        let start = Instant::now();
        let mut first = [0];
        let read = child
            .stdout
            .take()
            .map(|mut stdout| stdout.read(&mut first));
        let elapsed = start.elapsed();
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("the child process can be waited for");
        let round_trips = elapsed.as_secs_f64() / (2.0 * ONE_WAY.as_secs_f64());
        println!(
            "first byte of {}: {} after {} ms, {round_trips:.2} round trips",
            program.name,
            if matches!(read, Some(Ok(1))) {
                "arrived"
            } else {
                "missing"
            },
            elapsed.as_millis(),
        );
    }
}

fn replaying(replay: Arc<Replay>) -> Server {
    let chunk_size = replay.chunk_size();
    let stream = Stream::replay(replay);
    Server::start(Config {
        streams: [("stream".to_owned(), stream)].into(),
        chunk_size,
        // Used by clients that request encryption.
        handshake: Handshake::encrypted(8, Scheme::KeyFirst),
        ..Config::default()
    })
}

/// Program and its arguments.
struct Program {
    name: &'static str,
    arguments: Vec<String>,
}

impl Program {
    fn rtmpull(url: &str, file: &Path) -> Self {
        let rtmpull = env!("CARGO_BIN_EXE_rtmpull").to_owned();
        Self {
            name: "rtmpull",
            arguments: vec![rtmpull, "-q".into(), url.into(), "-o".into(), text(file)],
        }
    }

    fn rtmpdump(url: &str, file: &Path) -> Self {
        let arguments = ["rtmpdump", "-q", "-r", url, "-o", &text(file)];
        Self {
            name: "rtmpdump",
            arguments: arguments.map(str::to_owned).to_vec(),
        }
    }

    fn socat(port: u16, file: &Path) -> Self {
        let arguments = [
            "socat",
            "-b",
            "262144",
            "-u",
            &format!("TCP:127.0.0.1:{port}"),
            &format!("CREATE:{}", text(file)),
        ];
        Self {
            name: "socat",
            arguments: arguments.map(str::to_owned).to_vec(),
        }
    }

    fn ffmpeg(url: &str, file: &Path) -> Self {
        let quiet = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y"];
        let copy = ["-i", url, "-map", "0", "-c", "copy", "-f", "flv"];
        let arguments = quiet.iter().chain(&copy).map(|word| (*word).to_owned());
        Self {
            name: "ffmpeg",
            arguments: arguments.chain([text(file)]).collect(),
        }
    }

    fn socat_in_tls(port: u16, file: &Path) -> Self {
        let mut plain = Self::socat(port, file);
        plain.name = "socat OPENSSL";
        plain.arguments[4] = format!("OPENSSL:127.0.0.1:{port},verify=0");
        plain
    }

    fn s_client(port: u16, file: &Path) -> Self {
        let script = "exec openssl s_client -quiet -connect \"$0\" >\"$1\"";
        let address = format!("127.0.0.1:{port}");
        Self {
            name: "openssl s_client",
            arguments: vec!["sh".into(), "-c".into(), script.into(), address, text(file)],
        }
    }

    /// Returns the same program in another build.
    fn of_build(mut self, path: String) -> Self {
        self.name = "rtmpull before";
        self.arguments[0] = path;
        self
    }

    /// Returns the program with further options.
    fn with(mut self, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned());
        self.arguments.extend(options);
        self
    }

    fn start(&self, stdout: Stdio) -> Option<Child> {
        Command::new(&self.arguments[0])
            .args(&self.arguments[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .ok()
    }

    /// Runs the program to its end; returns `None` if it is not installed.
    fn run(&self) -> Option<Cost> {
        let cpu_before = CpuTime::of_finished_children().sum();
        let start = Instant::now();
        let mut child = self.start(Stdio::null())?;
        let mut peak_mib = 0.0;
        while child
            .try_wait()
            .expect("the child process can be waited for")
            .is_none()
        {
            peak_mib = peak_memory_mib(child.id()).unwrap_or(peak_mib);
            thread::sleep(Duration::from_millis(10));
        }
        Some(Cost {
            cpu_seconds: CpuTime::of_finished_children().sum() - cpu_before,
            wall_seconds: start.elapsed().as_secs_f64(),
            peak_mib,
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu_seconds: f64,
    wall_seconds: f64,
    peak_mib: f64,
}

impl Cost {
    fn median_of(costs: Vec<Self>) -> Option<Self> {
        let middle = |value: fn(&Self) -> f64| median(costs.iter().map(value));
        (!costs.is_empty()).then(|| Self {
            cpu_seconds: middle(|cost| cost.cpu_seconds),
            wall_seconds: middle(|cost| cost.wall_seconds),
            peak_mib: middle(|cost| cost.peak_mib),
        })
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Delay of the connection in each direction.
const ONE_WAY: Duration = Duration::from_millis(100);
