//! Chromium without a window. It opens pages of a small HTTP server and posts its results there.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::find_program;
use crate::process::Process;

/// Installed Chromium.
pub struct Chromium {
    program: PathBuf,
}

/// What a page of [`Chromium::run`] is served.
struct Site {
    page: String,
    files: HashMap<String, PathBuf>,
    reports: mpsc::Sender<String>,
}

impl Chromium {
    /// Finds Chromium.
    pub fn find() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let program = names.into_iter().find_map(find_program)?;
        Some(Self { program })
    }

    /// Opens `page`, and returns the body of its first POST request. The page can request `files` by their
    /// names.
    #[track_caller]
    pub fn run(&self, page: &str, files: &[(String, PathBuf)]) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound socket").port();
        let (reports, received) = mpsc::channel();
        let site = Arc::new(Site {
            page: page.to_owned(),
            files: files.iter().cloned().collect(),
            reports,
        });
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let site = Arc::clone(&site);
                // A browser closes connections whose files it no longer needs.
                thread::spawn(move || site.serve(&socket).ok());
            }
        });
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut process = self.start(profile.path(), &format!("http://127.0.0.1:{port}/"));
        let report = received.recv_timeout(LIMIT);
        process.kill_and_wait();
        report.unwrap_or_else(|_| panic!("no report after {LIMIT:?}: {}", process.kill()))
    }

    /// Loads a page, runs its scripts for some seconds, and returns its elements as text.
    #[track_caller]
    pub fn dump_dom(&self, url: &str) -> String {
        let words = ["--dump-dom", "--virtual-time-budget=7000"];
        String::from_utf8(self.capture(&words, url)).expect("UTF-8")
    }

    /// Writes a picture of a page in a window of this size to `file`.
    #[track_caller]
    pub fn screenshot(&self, url: &str, (width, height): (u32, u32), is_dark: bool, file: &Path) {
        let size = format!("--window-size={width},{height}");
        let scheme = format!(
            "--blink-settings=preferredColorScheme={}",
            u8::from(!is_dark)
        );
        let target = format!("--screenshot={}", file.display());
        self.capture(&[&size, &scheme, &target, "--hide-scrollbars"], url);
    }

    /// Runs Chromium until it ends, and returns its output.
    #[track_caller]
    fn capture(&self, words: &[&str], url: &str) -> Vec<u8> {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = self.command(profile.path());
        let finished = Process::start(command.args(words).arg(url)).finish(LIMIT);
        assert!(finished.status.success(), "{finished}");
        finished.stdout
    }

    fn start(&self, profile: &Path, url: &str) -> Process {
        Process::start(self.command(profile).arg(url))
    }

    fn command(&self, profile: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--mute-audio",
        ]);
        command.args(["--no-first-run", "--disable-dev-shm-usage"]);
        command.arg("--autoplay-policy=no-user-gesture-required");
        command.arg(format!("--user-data-dir={}", profile.display()));
        command
    }
}

impl Site {
    fn serve(&self, mut socket: &TcpStream) -> std::io::Result<()> {
        let mut request = BufReader::new(socket);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            request.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let mut fields = lines.iter().filter_map(|line| line.split_once(": "));
            let field = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
            field.map(|(_, value)| value.to_owned())
        };
        let mut words = lines.first().map_or("", |line| line).split(' ');
        let (method, path) = (words.next(), words.next().unwrap_or_default());
        if method == Some("POST") {
            let length = header("Content-Length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            request.read_exact(&mut body)?;
            let _test_has_ended = self
                .reports
                .send(String::from_utf8_lossy(&body).into_owned());
            return socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
        match self.files.get(path.trim_start_matches('/')) {
            Some(file) => send_file(socket, file, header("Range").as_deref()),
            None if path == "/" => send(socket, "200 OK", "text/html", &self.page),
            None => send(socket, "404 Not Found", "text/plain", ""),
        }
    }
}

fn send(mut socket: &TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        socket,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Sends a file, or the range of it that a header such as `bytes=100-` selects (RFC 9110 14.2).
fn send_file(mut socket: &TcpStream, file: &Path, range: Option<&str>) -> std::io::Result<()> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let start = bounds
        .and_then(|(start, _)| start.parse().ok())
        .unwrap_or(0);
    let end = bounds.and_then(|(_, end)| end.parse::<u64>().ok());
    let end = end.map_or(length, |end| (end + 1).min(length));
    let mut head = match bounds {
        Some(_) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{length}\r\n",
            end.saturating_sub(1)
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let rest = end.saturating_sub(start);
    let _never_fails = write!(
        head,
        "Content-Type: video/mp4\r\nAccept-Ranges: bytes\r\nContent-Length: {rest}\r\n\
         Connection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    file.seek(SeekFrom::Start(start))?;
    std::io::copy(&mut file.take(rest), &mut socket)?;
    Ok(())
}

/// Time limit until a page reports.
const LIMIT: Duration = Duration::from_secs(90);
