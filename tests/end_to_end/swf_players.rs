//! SWF player verification. Most tests use a closed port as the stream: if rtmpull gets as far as
//! connecting, the proof was computed, and `-V` prints it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use lzma_rust2::{LzmaOptions, LzmaWriter};
use rtmpull::core::rtmp::{challenge::SwfProof, handshake::digest::Scheme};
use tempfile::TempDir;

use crate::{
    peers::{require, rtmpdump::Rtmpdump},
    process::{Finished, Process, without_time},
    program::LIMIT,
    server::{
        Authority, Clip, Config, Handshake, Listener, Proxy, ProxyKind, Server, Stream, TlsClose,
        TlsFront, Validity,
    },
};

/// Body of every player: the bytes `(i * i // 7 + i) & 255` for `i` below 1000, in Python 3.
fn body() -> Vec<u8> {
    (0..1000_u32).map(|i| (i * i / 7 + i) as u8).collect()
}

/// `hmac.new(b"Genuine Adobe Flash Player 001", player, hashlib.sha256)` of the uncompressed player
/// in Python 3, as `-V` prints it.
const PROOF: [&str; 3] = [
    "DEBUG: 39 47 ea f2 d9 bb 2d 4e 9f 80 bb ec be 62 88 70",
    "DEBUG: b5 36 85 c5 0f 0d 51 78 4c 81 15 df 5e 63 87 58",
    "DEBUG: SWFSize  : 1008",
];

fn header(signature: &[u8; 3], length: usize) -> Vec<u8> {
    let length = u32::try_from(length)
        .expect("the file can be written")
        .to_le_bytes();
    [&signature[..], &[10], &length].concat()
}

fn fws() -> Vec<u8> {
    [header(b"FWS", 1008), body()].concat()
}

fn cws(body: &[u8]) -> Vec<u8> {
    let file = header(b"CWS", 8 + body.len());
    let mut zlib = ZlibEncoder::new(file, Compression::best());
    zlib.write_all(body).expect("writing to memory succeeds");
    zlib.finish().expect("writing to memory succeeds")
}

fn zws() -> Vec<u8> {
    let options = LzmaOptions::with_preset(6);
    let mut lzma =
        LzmaWriter::new_no_header(Vec::new(), &options, false).expect("valid LZMA options");
    let properties = lzma.props();
    lzma.write_all(&body()).expect("writing to memory succeeds");
    let packed = lzma.finish().expect("writing to memory succeeds");
    let packed_length = u32::try_from(packed.len()).expect("the file can be written");
    let mut file = header(b"ZWS", 1008);
    file.extend(packed_length.to_le_bytes());
    file.push(properties);
    file.extend(options.dict_size.to_le_bytes());
    file.extend(packed);
    file
}

/// HTTP server with scripted responses.
pub struct WebServer {
    listener: Listener,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Response to a request.
enum Reply {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends these bytes and keeps the connection open.
    Silence(Vec<u8>),
}

impl WebServer {
    /// Calls `answer` with the path and the complete head of each request.
    fn start(answer: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heads = requests.clone();
        let serve = move |_, socket: Arc<TcpStream>| {
            let head = head(&socket);
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = answer(&path, &head);
            heads.lock().expect("the lock is not poisoned").push(head);
            let (Reply::Bytes(bytes) | Reply::Silence(bytes)) = &answer;
            let _ = (&*socket).write_all(bytes);
            if let Reply::Silence(_) = answer {
                // Wait until the client disconnects or the test ends.
                let _ = BufReader::new(&*socket).fill_buf();
            }
            let _ = socket.shutdown(Shutdown::Both);
        };
        let listener = Listener::start(serve).expect("a loopback port is free");
        Self { listener, requests }
    }

    /// Sends the same response to every request.
    pub fn always_replying(answer: Vec<u8>) -> Self {
        Self::start(move |_, _| Reply::Bytes(answer.clone()))
    }

    /// Returns the URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.listener.port())
    }

    /// Returns the heads of the requests since the previous call.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("the lock is not poisoned"))
    }
}

fn head(socket: &TcpStream) -> String {
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    let head = lines.by_ref().take_while(|line| !line.is_empty());
    head.collect::<Vec<_>>().join("\n")
}

/// Encodes a response with `headers` (each with CR LF) and `body`.
pub fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// Home folder with the player cache.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn cache_file(&self) -> PathBuf {
        self.0.path().join(".swfinfo")
    }

    /// Returns the lines of the cache file.
    fn cache_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.cache_file()).expect("the cache file exists");
        text.lines().map(str::to_owned).collect()
    }

    fn start(&self, program: impl AsRef<Path>, options: &[&str]) -> Process {
        self.start_with_stream(CLOSED_URL, program, options)
    }

    fn start_with_stream(
        &self,
        stream: &str,
        program: impl AsRef<Path>,
        options: &[&str],
    ) -> Process {
        let mut command = Command::new(program.as_ref());
        command.args(["-V", "-r", stream, "-o"]);
        command.arg(self.0.path().join("out.flv")).args(options);
        command
            .env("HOME", self.0.path())
            .env_remove("XDG_CACHE_HOME");
        Process::start(&mut command)
    }

    #[track_caller]
    fn run(&self, options: &[&str]) -> Finished {
        self.run_with_stream(CLOSED_URL, options)
    }

    #[track_caller]
    fn run_with_stream(&self, stream: &str, options: &[&str]) -> Finished {
        self.start_with_stream(stream, env!("CARGO_BIN_EXE_rtmpull"), options)
            .finish(LIMIT)
    }
}

#[track_caller]
fn assert_proved(finished: &Finished) {
    let lines = finished.stderr.lines();
    let without_times = lines.filter(|line| without_time(line).is_none());
    assert_eq!(without_times.count(), 0, "{finished}");
    let printed = proof(finished);
    assert_eq!(printed, PROOF, "{finished}");
    assert_eq!(finished.code(), Some(3), "{finished}");
}

/// Returns the printed hash and size of the player. rtmpdump prints them without times.
fn proof(finished: &Finished) -> Vec<&str> {
    let lines = finished
        .stderr
        .lines()
        .map(|line| without_time(line).unwrap_or(line))
        .skip_while(|line| *line != "DEBUG: SWFSHA256:");
    lines.skip(1).take(3).map(str::trim_end).collect()
}

/// Panics unless the program ended before connecting, with `words` in its last line.
#[track_caller]
fn assert_player_refused(finished: &Finished, words: &str) {
    assert_eq!(finished.code(), Some(1), "{finished}");
    let last = finished.stderr.lines().last().and_then(without_time);
    let last = last.expect("a line with a time");
    assert!(last.starts_with("ERROR: no-player: cannot "), "{finished}");
    assert!(last.contains(words), "no {words:?} in {finished}");
    assert!(!finished.stderr.contains("Connecting"), "{finished}");
}

#[test]
fn every_swf_compression_yields_the_same_proof() {
    for (player, name) in [(fws(), "FWS"), (cws(&body()), "CWS"), (zws(), "ZWS")] {
        let home = Home::new();
        let web = WebServer::always_replying(answer("", &player));
        assert_proved(&home.run(&["-W", &web.url("/player.swf")]));
        let file = home.0.path().join(name);
        fs::write(&file, player).expect("the file can be written");
        assert_proved(&home.run(&["-W", &file.display().to_string()]));
        assert_eq!(web.requests().len(), 1);
    }
}

#[test]
fn given_hash_and_size_are_used_as_proof() {
    let hash = "3947eaf2d9bb2d4e9f80bbecbe628870b53685c50f0d51784c8115df5e638758";
    assert_proved(&Home::new().run(&["-w", hash, "-x", "1008"]));
}

#[test]
fn server_that_verifies_the_player_plays_the_stream() {
    let hash = "3947eaf2d9bb2d4e9f80bbecbe628870b53685c50f0d51784c8115df5e638758";
    let other = "0047eaf2d9bb2d4e9f80bbecbe628870b53685c50f0d51784c8115df5e638758";
    let digits = hash.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    let player = SwfProof {
        hash: bytes
            .and_then(|bytes| bytes.try_into().ok())
            .expect("32 bytes"),
        size: 1008,
    };
    let web = WebServer::always_replying(answer("", &cws(&body())));
    let folder = Home::new();
    let file = folder.0.path().join("player.swf");
    fs::write(&file, zws()).expect("the file can be written");
    let (address, file) = (web.url("/p.swf"), file.display().to_string());
    for handshake in [
        Handshake::Digest(Scheme::DigestFirst),
        Handshake::encrypted(8, Scheme::KeyFirst),
    ] {
        for (options, is_player) in [
            (&["-W", &address][..], true),
            (&["-W", &file], true),
            (&["-w", hash, "-x", "1008"], true),
            (&["-w", other, "-x", "1008"], false),
        ] {
            let server = Server::start(Config {
                handshake,
                required_player: Some(player),
                ..Config::serving(Stream::recorded(Clip::sample()))
            });
            let url = match handshake {
                Handshake::Digest(_) => server.url("clip"),
                _ => server.encrypted_url("clip"),
            };
            let home = Home::new();
            let finished = home.run_with_stream(&url, options);
            assert_eq!(finished.code() == Some(0), is_player, "{finished}");
            assert!(server.only_client().swf_proof.is_some(), "{finished}");
        }
    }
}

#[test]
fn proof_matches_rtmpdump() {
    let rtmpdump = require!(Rtmpdump::find());
    for player in [fws(), cws(&body())] {
        let web = WebServer::always_replying(answer("", &player));
        let options = ["-W", &web.url("/player.swf")];
        let theirs = Home::new()
            .start(rtmpdump.program(), &options)
            .finish(LIMIT);
        let ours = Home::new().run(&options);
        assert_eq!(proof(&ours), proof(&theirs), "{theirs}");
        assert_proved(&ours);
    }
}

#[test]
fn cache_is_shared_with_rtmpdump() {
    let rtmpdump = require!(Rtmpdump::find());
    let dated = "Last-Modified: Sun, 01 Nov 2026 10:33:37 GMT\r\n";
    for headers in ["", dated] {
        let web = WebServer::always_replying(answer(headers, &cws(&body())));
        let options = ["-W", &web.url("/a/player.swf?token=x")];
        for is_rtmpdump_first in [true, false] {
            let home = Home::new();
            let theirs = || home.start(rtmpdump.program(), &options).finish(LIMIT);
            let (first, cache_lines, second) = if is_rtmpdump_first {
                (theirs(), home.cache_lines(), home.run(&options))
            } else {
                (home.run(&options), home.cache_lines(), theirs())
            };
            assert_eq!(proof(&first), PROOF, "{first}");
            assert_eq!(proof(&second), PROOF, "{second}");
            assert_eq!(web.requests().len(), 1, "{first}{second}");
            assert_eq!(home.cache_lines(), cache_lines);
            assert_eq!(cache_lines[0], format!("url: {}", web.url("/a/player.swf")));
            let date = dated.trim_end().trim_start_matches("Last-Modified: ");
            let date = if headers.is_empty() { "" } else { date };
            assert_eq!(cache_lines[2], format!("date: {date}"));
            assert_eq!(cache_lines.len(), 5);
        }
    }
}

#[test]
fn stale_cache_entry_is_revalidated() {
    let date = "Sun, 01 Nov 2026 10:33:37 GMT";
    let web = WebServer::start(move |_, head| {
        Reply::Bytes(match head.contains("If-Modified-Since: Sun, 01 Nov") {
            true => b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
            false => answer(&format!("Last-Modified: {date}\r\n"), &fws()),
        })
    });
    let home = Home::new();
    let url = &web.url("/player.swf");
    assert_proved(&home.run(&["-W", url]));
    let entry = home.cache_lines();
    let old = [
        &entry[0],
        "ctim: Sun, 01 Jan 2006 00:00:00 GMT",
        &entry[2],
        &entry[3],
        &entry[4],
    ];
    let write = |lines: &[&str]| {
        let text = format!("# mine\n{}\nurl: else\n", lines.join("\n"));
        fs::write(home.cache_file(), text).expect("the file can be written");
    };

    // The last byte of the hash identifies the cached entry.
    let other_hash = format!("{}59", &entry[4][..entry[4].len() - 2]);
    write(&[&old[..4], &[&other_hash]].concat());
    assert_eq!(web.requests().len(), 1);
    let finished = home.run(&["-W", url]);
    assert!(proof(&finished)[1].ends_with(" 59"), "{finished}");
    let requests = web.requests();
    assert!(requests[0].contains(&format!("If-Modified-Since: {date}")));
    let cache_lines = home.cache_lines();
    assert_ne!(cache_lines[2], old[1], "the entry is marked as checked now");
    assert_eq!(cache_lines[3..6], [&entry[2][..], &entry[3], &other_hash]);
    assert_eq!(
        (&cache_lines[0][..], &cache_lines[6][..]),
        ("# mine", "url: else")
    );

    // A fresh entry needs no request, unless the maximum age is 0.
    home.run(&["-W", url]);
    assert_eq!(web.requests().len(), 0);
    home.run(&["-W", url, "-X", "0"]);
    assert_eq!(web.requests().len(), 1);

    // The player on the server has changed.
    write(
        &[
            &old[..2],
            &["date: Sat, 01 Jan 2005 00:00:00 GMT"],
            &old[3..4],
            &[&other_hash],
        ]
        .concat(),
    );
    assert_proved(&home.run(&["-W", url]));
    assert_eq!(home.cache_lines()[3..6], entry[2..5]);
}

#[test]
fn unusable_cache_is_left_unchanged() {
    let web = WebServer::always_replying(answer("", &fws()));
    let url = &web.url("/player.swf");
    let home = Home::new();
    for (text, word) in [
        (format!("url: {url}\nctim: soon\n"), "is damaged"),
        ("not what it seems".to_owned(), "is damaged"),
    ] {
        fs::write(home.cache_file(), &text).expect("the file can be written");
        let finished = home.run(&["-W", url]);
        assert_proved(&finished);
        assert!(finished.stderr.contains("WARNING: "), "{finished}");
        assert!(finished.stderr.contains(word), "{finished}");
        assert_eq!(home.cache_lines(), text.lines().collect::<Vec<_>>());
    }
    fs::write(home.cache_file(), "url: else\n").expect("the file can be written");
    let mut permissions = fs::metadata(home.cache_file())
        .expect("the file exists")
        .permissions();
    permissions.set_readonly(true);
    fs::set_permissions(home.cache_file(), permissions).expect("the file can be changed");
    let finished = home.run(&["-W", url]);
    assert_proved(&finished);
    assert!(
        finished.stderr.contains("the player is not cached"),
        "{finished}"
    );
    assert_eq!(home.cache_lines(), ["url: else"]);
}

#[test]
fn redirects_and_content_encodings_are_followed() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&fws()).expect("writing to memory succeeds");
    let gzip = gzip.finish().expect("writing to memory succeeds");
    let chunks: Vec<u8> = gzip
        .chunks(100)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let web = WebServer::start(move |path, _| {
        Reply::Bytes(match path {
            "/player.swf" => b"HTTP/1.1 302 Found\r\nLocation: /there?key=s3cret\r\n\r\n".to_vec(),
            _ => [
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
                &chunks[..],
            ]
            .concat(),
        })
    });
    let finished = Home::new().run(&["-W", &web.url("/player.swf")]);
    assert_proved(&finished);
    assert!(finished.stderr.contains("/there?key=***"), "{finished}");
    assert_eq!(web.requests().len(), 2);
}

#[test]
fn player_fetch_uses_tls_and_proxy_options() {
    let web = WebServer::always_replying(answer("", &fws()));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(web.listener.port(), &identity, TlsClose::CloseNotify);
    let url = &format!("https://127.0.0.1:{}/p.swf", front.port());
    let trusted = &["--ca-file", &authority.file().display().to_string()];
    let home = Home::new();
    assert_player_refused(
        &home.run(&["-W", url]),
        "cannot establish TLS with 127.0.0.1:",
    );
    assert_eq!(web.requests().len(), 0);
    assert_proved(&home.run(&[&["-W", url], &trusted[..]].concat()));
    assert_eq!(web.requests().len(), 1);

    let proxy = Proxy::start(ProxyKind::Socks5);
    let proxy_url = format!("socks5://127.0.0.1:{}", proxy.port());
    let options = ["-W", url, "-X", "0", "--proxy", &proxy_url];
    let finished = home.run(&[&options, &trusted[..]].concat());
    assert_eq!(proof(&finished), PROOF, "{finished}");
    assert_eq!(web.requests().len(), 1);
    let requests = proxy.requested();
    let web_address = format!("127.0.0.1:{}", front.port());
    assert!(requests[0].contains(&web_address), "{requests:?}");

    let down = WebServer::start(move |_, _| {
        let redirect = format!(
            "HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n",
            web.url("/p.swf")
        );
        Reply::Bytes(redirect.into_bytes())
    });
    let front = TlsFront::start(down.listener.port(), &identity, TlsClose::CloseNotify);
    let url = &format!("https://127.0.0.1:{}/p.swf", front.port());
    let finished = home.run(&[&["-W", url], &trusted[..]].concat());
    assert_proved(&finished);
    let warning = "WARNING: redirected from https to http, http://127.0.0.1:";
    assert!(finished.stderr.contains(warning), "{finished}");
}

#[test]
fn invalid_player_fails_before_connecting() {
    let truncated = [&answer("", &fws())[..200]].concat();
    let cut = answer("", &cws(&body())[..100]);
    let bomb = answer("", &cws(&vec![0; 65 << 20]));
    let html = answer("Content-Type: text/html\r\n", b"\n<!DOCTYPE html>");
    let unknown = answer("", b"PK\x03\x04\0\0\0\0\0\0\0");
    let large = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    for (answer, words) in [
        (
            b"HTTP/1.1 404 Gone\r\n\r\n".to_vec(),
            "the server answers 404 Gone",
        ),
        (truncated, "the response is cut off"),
        (large, "the response has more than 64 MiB"),
        (html, "it is a web page, not an SWF file"),
        (unknown, "not an SWF file"),
        (cut, "the SWF file is truncated"),
        (bomb, "the SWF file has more than 64 MiB"),
        (
            b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
            "304 Not Modified to an unconditional request",
        ),
        (
            b"SSH-2.0-server\r\n\r\n".to_vec(),
            "the server answers in text (`SSH-2.0-server`), not HTTP",
        ),
    ] {
        let web = WebServer::always_replying(answer);
        let home = Home::new();
        let finished = home.run(&["-W", &web.url("/p.swf?auth=s3cret&v=2")]);
        assert_player_refused(&finished, words);
        let shown = web.url("/p.swf?auth=***&v=2");
        assert!(finished.stderr.contains(&shown), "{finished}");
        assert!(!finished.stderr.contains("s3cret"), "{finished}");
        assert!(!home.cache_file().exists());
    }
    let finished = Home::new().run(&["-W", "http://127.0.0.1:1/p.swf"]);
    assert_player_refused(&finished, "cannot connect to 127.0.0.1:1");
    let finished = Home::new().run(&["-W", "nowhere/p.swf"]);
    assert_player_refused(&finished, "cannot read the player nowhere/p.swf: ");
}

#[test]
fn silent_web_server_times_out() {
    let web = WebServer::start(|_, _| Reply::Silence(answer("", &fws())[..500].to_vec()));
    let finished = Home::new().run(&["-m", "1", "-W", &web.url("/p.swf")]);
    assert_player_refused(&finished, "no complete answer within 1 s");
    assert!(finished.took < Duration::from_secs(5), "{finished}");
}

#[cfg(unix)]
#[test]
fn signal_interrupts_the_fetch() {
    let web = WebServer::start(|_, _| Reply::Silence(Vec::new()));
    let url = web.url("/p.swf");
    let home = Home::new();
    let mut process = home.start(env!("CARGO_BIN_EXE_rtmpull"), &["-W", &url]);
    while web.requests().is_empty() {
        assert!(process.is_running());
        std::thread::sleep(Duration::from_millis(5));
    }
    process.signal("INT");
    let finished = process.finish(Duration::from_secs(2));
    assert_eq!(finished.code(), Some(3), "{finished}");
    assert!(finished.stderr.contains("interrupted"), "{finished}");
}

/// URL of a closed port.
const CLOSED_URL: &str = "rtmp://127.0.0.1:1/app/name";
