//! Servers and players that others wrote, each test with instances of its own.
//!
//! `tests/peers.sh` installs them. A test asks for its peer first; where it is missing, the test
//! says so and is over, unless `RTMPULL_REQUIRE_PEERS=1` says that all must be here.

pub mod ffmpeg;
pub mod mpv;
pub mod nginx;
pub mod node_media_server;
pub mod proxies;
pub mod rtmpdump;
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

/// Ends the test where its peer is not installed.
macro_rules! require {
    ($peer:expr) => {
        match $peer {
            Some(peer) => peer,
            None => return $crate::peers::skip(stringify!($peer)),
        }
    };
}
pub(crate) use require;

/// Says that a test is skipped for want of `peer`; fails it where peers are required.
pub fn skip(peer: &str) {
    let peer = peer.trim_end_matches("()").trim_end_matches("::find");
    assert!(
        env::var_os("RTMPULL_REQUIRE_PEERS").is_none_or(|value| value != "1"),
        "{peer} is not installed: tests/peers.sh installs it"
    );
    println!("skipped: {peer} is not installed (tests/peers.sh installs it)");
}

/// The folder that `tests/peers.sh` installs npm and PyPI packages into.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers")
}

/// Looks a program up in the PATH and where Debian keeps servers.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Starts a server on a port that was free a moment ago; on another one where somebody else was
/// quicker. `command` is asked for the program with the port.
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

/// Starts a server that was ended on its port again.
fn restart_server(command: &mut Command, port: u16) -> Process {
    let mut process = Process::start(command);
    assert!(
        accepts(port, &mut process),
        "not restarted: {}",
        process.kill()
    );
    process
}

/// Who is connected to `port` now.
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

/// Waits until one of `connected_clients` of `port` is no longer connected.
#[track_caller]
pub fn wait_for_disconnect(port: u16, connected_clients: &HashSet<String>) {
    let start = Instant::now();
    while connected_clients.is_subset(&self::connected_clients(port)) {
        assert!(start.elapsed() < LEAVE_LIMIT, "no client disconnected");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on, and that the system gives to nobody who asks for any: our own
/// servers do, and would be taken for the one that is to come up.
fn free_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    // Other test processes begin elsewhere.
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

/// Systems give away ports from 32768 or 49152 on.
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 20_000;

/// How long a server may take until it accepts: node needs two seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// More than any client waits for a silent server.
const LEAVE_LIMIT: Duration = Duration::from_secs(40);

/// As the system's table of sockets has it.
const ESTABLISHED: &str = "01";
