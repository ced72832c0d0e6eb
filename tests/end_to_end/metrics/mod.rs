//! Metrics, health checks and the status page.

pub mod client;
mod deployment;
#[cfg(target_os = "linux")]
mod page;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use self::client::{LIMIT, get, logged_address, request, value, wait_for};
use crate::{
    peers::{promtool::Promtool, require},
    process::{Finished, Process},
    program::{self, Folder},
    server::{Clip, Config, Pace, Server, Stream},
};

/// Returns a live stream that lasts several seconds.
fn live() -> Stream {
    Stream::live(Clip::repeated_sample(10, 3_040)).paced(Pace::Speed(2.0))
}

/// Starts a live recording of `url` to `cam.flv`. Returns the process and the address of its metrics.
fn record(folder: &Folder, url: &str, options: &[&str]) -> (Process, String) {
    let mut command = folder.command();
    command.args([url, "-v", "-o", "cam.flv", "--log-file", "log"]);
    command.args(["--metrics", "127.0.0.1:0"]).args(options);
    let process = Process::start(&mut command);
    let address = logged_address(&folder.path("log"));
    (process, address)
}

#[track_caller]
fn stop(process: Process) -> Finished {
    process.signal("INT");
    process.finish(program::LIMIT)
}

#[test]
fn metrics_describe_a_running_download() {
    let promtool = require!(Promtool::find());
    let server = Server::start(Config::serving(live()));
    let folder = Folder::new();
    let (process, address) = record(&folder, &server.url("clip"), &[]);
    let playing = "rtmpull_stream_state{stream=\"cam\",state=\"playing\"}";
    let video = "rtmpull_stream_frames_total{stream=\"cam\",track=\"video\"}";
    let metrics = wait_for(&address, |metrics| value(metrics, video) > Some(50.0));
    let of = |name: &str| {
        value(
            &metrics,
            &format!("rtmpull_stream_{name}{{stream=\"cam\"}}"),
        )
    };
    assert_eq!(value(&metrics, playing), Some(1.0), "{metrics}");
    assert!(of("received_bytes_total") > Some(10_000.0), "{metrics}");
    assert!(of("position_seconds") > Some(1.0), "{metrics}");
    assert!(of("last_media_age_seconds") < Some(2.0), "{metrics}");
    assert_eq!(of("attempts_total"), Some(1.0), "{metrics}");
    assert_eq!(of("gaps_total"), Some(0.0), "{metrics}");
    let metrics = wait_for(&address, |metrics| {
        metrics.contains("rtmpull_disk_free_bytes{")
    });
    if cfg!(target_os = "linux") {
        let memory = value(&metrics, "process_resident_memory_bytes");
        assert!(memory > Some(1e6) && memory < Some(200e6), "{metrics}");
        assert!(value(&metrics, "process_open_fds") > Some(5.0), "{metrics}");
    }
    promtool.check_metrics(&metrics);
    assert_eq!(get(&address, "/healthz"), "ok\n");
    assert_eq!(get(&address, "/readyz"), "ready\n");
    let written = value(
        &wait_for(&address, |_| true),
        "rtmpull_stream_written_bytes_total{stream=\"cam\"}",
    );
    stop(process).assert_ended(0, "interrupted");
    let size = fs::metadata(folder.path("cam.flv")).expect("a file").len();
    assert!(
        written > Some(0.0) && written <= Some(size as f64),
        "{written:?}"
    );
    TcpStream::connect(&address).expect_err("the server has ended");
}

#[test]
fn only_get_and_head_of_known_pages_are_answered() {
    let server = Server::start(Config::serving(live()));
    let folder = Folder::new();
    let (process, address) = record(&folder, &server.url("clip"), &[]);
    let answer = request(&address, "POST", "/metrics");
    assert_eq!(
        (answer.status, &answer.headers["allow"][..]),
        (405, "GET, HEAD")
    );
    assert_eq!(request(&address, "GET", "/secret").status, 404);
    let answer = request(&address, "HEAD", "/");
    assert_eq!((answer.status, &answer.body[..]), (200, ""));
    let answer = request(&address, "GET", "/metrics?x=1");
    let kind = &answer.headers["content-type"];
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let mut socket = TcpStream::connect(&address).expect("the server listens");
    socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    socket.write_all(b"nonsense\r\n\r\n").expect("sent");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    stop(process).assert_ended(0, "interrupted");
}

/// A web site whose name leads to loopback has a name of its own. Other addresses are reached by any name.
#[test]
fn other_host_names_are_refused_on_loopback() {
    let server = Server::start(Config::serving(live()));
    for (listen, expected) in [("127.0.0.1:0", 421), ("0.0.0.0:0", 200)] {
        let folder = Folder::new();
        let mut command = folder.command();
        command.args([&server.url("clip"), "-o", "cam.flv", "--log-file", "log"]);
        let process = Process::start(command.args(["--metrics", listen]));
        let address = logged_address(&folder.path("log")).replace("0.0.0.0", "127.0.0.1");
        let status = |host: &str| {
            let socket = TcpStream::connect(&address).expect("the server listens");
            client::exchange_as(host, socket, "GET", "/").status
        };
        for host in [
            "evil.example",
            "evil.example:9187",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(status(host), expected, "{host}");
        }
        for host in ["localhost", "localhost:9187", "127.0.0.1", "[::1]:9187"] {
            assert_eq!(status(host), 200, "{host}");
        }
        stop(process).assert_ended(0, "interrupted");
    }
}

#[test]
fn stuck_clients_delay_neither_the_download_nor_other_clients() {
    let server = Server::start(Config::serving(live()));
    let folder = Folder::new();
    let (process, address) = record(&folder, &server.url("clip"), &[]);
    // More than the server accepts at a time: half of them send nothing, half do not read.
    let stuck: Vec<_> = (0..80)
        .map(|number| {
            let mut socket = TcpStream::connect(&address).expect("the server listens");
            if number % 2 == 0 {
                socket.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
            }
            socket
        })
        .collect();
    let position = "rtmpull_stream_position_seconds{stream=\"cam\"}";
    let start = Instant::now();
    let metrics = get(&address, "/metrics");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "answered after {took:?}");
    let before = value(&metrics, position).unwrap_or(0.0);
    wait_for(&address, |metrics| {
        value(metrics, position) > Some(before + 1.0)
    });
    drop(stuck);
    stop(process).assert_ended(0, "interrupted");
}

#[test]
fn a_lost_server_is_visible_as_attempts_and_gaps() {
    let stream = || Config::serving(live());
    let server = Server::start(stream());
    let folder = Folder::new();
    let (process, address) = record(&folder, &server.url("clip"), &["--retry", "50"]);
    let state = |state: &str| format!("rtmpull_stream_state{{stream=\"cam\",state=\"{state}\"}}");
    wait_for(&address, |metrics| {
        value(metrics, &state("playing")) == Some(1.0)
    });
    drop(server);
    let metrics = wait_for(&address, |metrics| {
        let attempts = value(metrics, "rtmpull_stream_attempts_total{stream=\"cam\"}");
        value(metrics, &state("reconnecting")) == Some(1.0) && attempts > Some(1.0)
    });
    assert_eq!(value(&metrics, &state("playing")), Some(0.0), "{metrics}");
    assert_eq!(
        get(&address, "/healthz"),
        "ok\n",
        "a lost server is not a failure"
    );
    assert_eq!(get(&address, "/readyz"), "ready\n");
    let page = get(&address, "/");
    assert!(page.contains("state reconnecting"), "{page}");
    stop(process);
}

#[test]
fn the_last_answer_contains_the_ending() {
    let server = Server::start(Config::serving(Stream::live(Clip::sample())));
    let folder = Folder::new();
    let url = server.url("clip");
    let hook = "sleep 3";
    let (process, address) = record(&folder, &url, &["--on-segment", hook, "--retry", "0"]);
    let segments = "rtmpull_stream_segments_total{stream=\"cam\"}";
    let metrics = wait_for(&address, |metrics| value(metrics, segments) == Some(1.0));
    let written = "rtmpull_stream_written_bytes_total{stream=\"cam\"}";
    let size = fs::metadata(folder.path("cam.flv")).expect("a file").len();
    assert_eq!(value(&metrics, written), Some(size as f64), "{metrics}");
    process.finish(program::LIMIT);
}

#[test]
fn secrets_and_urls_are_not_shown() {
    let server = Server::start(Config::serving(live()));
    let folder = Folder::new();
    let url = server.url("clip?token=s3cret");
    let (process, address) = record(&folder, &url, &[]);
    wait_for(&address, |metrics| {
        metrics.contains("rtmpull_stream_last_media_age_seconds")
    });
    for path in ["/", "/metrics"] {
        let text = get(&address, path);
        assert!(
            !text.contains("s3cret") && !text.contains("rtmp://"),
            "{text}"
        );
    }
    stop(process);
}

#[test]
fn frames_that_a_slow_pipe_lacks_are_counted_while_it_is_stuck() {
    let clip = Clip::repeated_sample(20, 3_040);
    let server = Server::start(Config::serving(Stream::live(clip).paced(Pace::Speed(20.0))));
    let folder = Folder::new();
    let mut command = folder.command();
    command.args([
        &server.url("clip")[..],
        "-v",
        "-o",
        "-",
        "--queue-size",
        "100KiB",
    ]);
    command.args(["--log-file", "log", "--metrics", "127.0.0.1:0"]);
    // Nothing reads this pipe.
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let address = logged_address(&folder.path("log"));
    let of = |name: &str| format!("rtmpull_stream_{name}{{stream=\"stream\"}}");
    let metrics = wait_for(&address, |metrics| {
        value(metrics, &of("dropped_frames_total")) > Some(10.0)
    });
    assert_eq!(value(&metrics, &of("drops_total")), Some(1.0), "{metrics}");
    assert!(
        value(&metrics, &of("dropped_bytes_total")) > Some(1_000.0),
        "{metrics}"
    );
    assert!(
        value(&metrics, &of("dropped_seconds_total")) > Some(0.1),
        "{metrics}"
    );
    child.kill().expect("running");
    child.wait().expect("ended");
}

#[test]
fn an_address_in_use_is_an_error_before_the_download() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let folder = Folder::new();
    let run = folder.run(&[
        "rtmp://127.0.0.1:9/a/b",
        "-o",
        "out.flv",
        "--metrics",
        &address,
    ]);
    run.assert_ended(1, "failed");
    let expected = format!(
        "ERROR: failed: --metrics: cannot listen on http://{address}/: Address already in use"
    );
    assert!(run.stderr.contains(&expected), "{run}");
    let run = folder.run(&["rtmp://127.0.0.1:9/a/b", "--metrics", "9187"]);
    run.assert_ended(1, "usage");
    assert!(
        run.stderr
            .contains("expected ADDRESS:PORT, :PORT or unix:PATH"),
        "{run}"
    );
}

#[cfg(unix)]
#[test]
fn a_unix_socket_replaces_that_of_a_killed_process_but_not_a_used_one() {
    use std::os::unix::net::UnixStream;

    let server = Server::start(Config::serving(live()));
    let folder = Folder::new();
    let socket = folder.path("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let url = server.url("clip");
    let options = ["-v", "-o", "cam.flv", "--metrics", "unix:socket"];
    let process = Process::start(folder.command().arg(&url).args(options));
    let start = Instant::now();
    let connection = loop {
        match UnixStream::connect(&socket) {
            Ok(connection) => break connection,
            Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let answer = client::exchange(connection, "GET", "/healthz");
    assert_eq!((answer.status, &answer.body[..]), (200, "ok\n"));
    let other = folder.run(&[&url, "-o", "other.flv", "--metrics", "unix:socket"]);
    other.assert_ended(1, "failed");
    assert!(
        other.stderr.contains("cannot listen on unix:socket"),
        "{other}"
    );
    stop(process).assert_ended(0, "interrupted");
    assert!(!socket.exists(), "the socket is removed at the end");
    fs::write(&socket, "notes").expect("written");
    let other = folder.run(&[&url, "-o", "other.flv", "--metrics", "unix:socket"]);
    other.assert_ended(1, "failed");
    let kept = fs::read_to_string(&socket);
    assert_eq!(kept.expect("the file exists"), "notes");
}

#[cfg(target_os = "linux")]
#[test]
fn without_metrics_no_thread_is_started() {
    let threads = |process: u32| {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("running");
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
        let names = tasks.flatten().filter_map(name);
        names.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    };
    let server = Server::start(Config::serving(live()));
    for has_metrics in [false, true] {
        let folder = Folder::new();
        let mut command = folder.command();
        command.args([&server.url("clip")[..], "-v", "-o", "cam.flv", "-q"]);
        if has_metrics {
            command.args(["--metrics", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().expect("started");
        let start = Instant::now();
        while fs::metadata(folder.path("cam.flv")).map_or(0, |file| file.len()) == 0 {
            assert!(start.elapsed() < LIMIT, "nothing is recorded");
            std::thread::sleep(Duration::from_millis(10));
        }
        let names = threads(child.id());
        child.kill().expect("running");
        child.wait().expect("ended");
        let has_thread = |name: &str| names.iter().any(|thread| thread == name);
        assert_eq!(has_thread("metrics"), has_metrics, "{names:?}");
        assert_eq!(has_thread("disk-space"), has_metrics, "{names:?}");
    }
}
