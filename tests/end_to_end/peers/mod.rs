//! Real servers, players and proxies, and Wine; each test starts its own instances.
//!
//! `tests/peers.sh` installs them. A test whose peer is missing prints a message and is skipped.
//! With `RTMPULL_REQUIRE_PEERS=1`, it fails instead.

pub mod analyzers;
#[cfg(target_os = "linux")]
pub mod chromium;
pub mod ffmpeg;
#[cfg(unix)]
pub mod gstreamer;
pub mod librtmp2;
#[cfg(target_os = "linux")]
pub mod mpv;
pub mod nginx;
pub mod node_media_server;
#[cfg(unix)]
pub mod promtool;
pub mod proxies;
pub mod rtmpdump;
#[cfg(target_os = "linux")]
pub mod strace;
#[cfg(unix)]
pub mod tmux;
#[cfg(target_os = "linux")]
pub mod wine;
pub mod xiu;
pub mod yt_dlp;

use std::{
    collections::HashSet,
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::process::Process;

/// Skips the test if its peer is not installed.
macro_rules! require {
    ($peer:expr) => {
        match $peer {
            Some(peer) => peer,
            None => return $crate::peers::skip(stringify!($peer)),
        }
    };
}
pub(crate) use require;

/// Prints that a test is skipped; fails the test if peers are required.
pub fn skip(peer: &str) {
    let peer = peer.trim_end_matches("()").trim_end_matches("::find");
    assert!(
        !are_required(),
        "{peer} is not installed: tests/peers.sh installs it"
    );
    println!("skipped: {peer} is not installed (tests/peers.sh installs it)");
}

/// Finds kubernetes-validate, which checks Kubernetes objects against their schema.
#[cfg(unix)]
pub fn kubernetes_validate() -> Option<PathBuf> {
    Some(folder().join("venv/bin/kubernetes-validate")).filter(|program| program.is_file())
}

/// Finds systemd-analyze, which checks units.
#[cfg(target_os = "linux")]
pub fn systemd_analyze() -> Option<PathBuf> {
    find_program("systemd-analyze")
}

/// Finds rclone, which copies files to object storage.
#[cfg(unix)]
pub fn rclone() -> Option<PathBuf> {
    find_program("rclone")
}

/// Returns the program for another system that the environment variable `variable` names. Without the
/// variable, prints that the test is skipped, or fails the test if peers are required.
#[cfg(target_os = "linux")]
pub fn foreign_program(variable: &str) -> Option<PathBuf> {
    let program = env::var_os(variable).map(PathBuf::from);
    match &program {
        Some(program) => assert!(program.is_file(), "{variable}: no {}", program.display()),
        None => {
            assert!(!are_required(), "{variable} is not set: see .ci/run");
            println!("skipped: {variable} is not set (see .ci/run)");
        }
    }
    program
}

fn are_required() -> bool {
    env::var_os("RTMPULL_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// Returns the folder with the npm and PyPI packages installed by `tests/peers.sh`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers")
}

/// Finds a program in PATH or in Debian's folders for servers.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Starts a server on a free port and retries with another port if the server does not accept
/// connections. `command` returns the program for a port.
fn start_server(mut command: impl FnMut(u16) -> Command) -> (Process, u16) {
    for _ in 0..5 {
        let port = free_port();
        let mut process = Process::start(&mut command(port));
        if accepts(port, &mut process) {
            return (process, port);
        }
        println!("port {port}: {}", process.kill());
    }
    panic!("the server did not start");
}

/// Restarts a server on its port.
fn restart_server(command: &mut Command, port: u16) -> Process {
    let mut process = Process::start(command);
    assert!(
        accepts(port, &mut process),
        "not restarted: {}",
        process.kill()
    );
    process
}

/// Returns the addresses connected to `port`.
pub fn connected_clients(port: u16) -> HashSet<String> {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let server = format!("0100007F:{port:04X}");
    let fields = sockets.lines().map(|line| line.split_whitespace());
    let connected_clients = fields.filter_map(|mut fields| {
        let local = fields.nth(1)?;
        let (client, state) = (fields.next()?, fields.next()?);
        (local == server && state == ESTABLISHED).then(|| client.to_owned())
    });
    connected_clients.collect()
}

/// Waits until one of `connected_clients` of `port` has disconnected.
#[track_caller]
pub fn wait_for_disconnect(port: u16, connected_clients: &HashSet<String>) {
    let start = Instant::now();
    while connected_clients.is_subset(&self::connected_clients(port)) {
        assert!(start.elapsed() < LEAVE_LIMIT, "no client disconnected");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns an unused port outside the range of ephemeral ports, because the ports of parallel test
/// servers come from that range.
pub fn free_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    // Each test process starts at another port.
    let first = (process::id() % 199) as u16 * 101;
    loop {
        let number = first.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST_PORT + number % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn accepts(port: u16, process: &mut Process) -> bool {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT && process.is_running() {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return process.is_running();
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// First port; systems assign ephemeral ports from 32768 or 49152 on.
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 20_000;

/// Time limit until a server accepts connections. Node.js needs two seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Time limit for clients of a silent server to disconnect.
const LEAVE_LIMIT: Duration = Duration::from_secs(40);

/// TCP state ESTABLISHED in /proc/net/tcp.
const ESTABLISHED: &str = "01";
