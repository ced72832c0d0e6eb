//! A client of the metrics server.

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Answer of the server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names are in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// Waits until the log file contains the address of the server, and returns it.
#[track_caller]
pub fn logged_address(log: &Path) -> String {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once("status: http://") {
            let (address, _) = rest.split_once('/').expect("a complete line");
            return address.to_owned();
        }
        assert!(start.elapsed() < LIMIT, "no address in {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a request to a TCP address.
#[track_caller]
pub fn request(address: &str, method: &str, path: &str) -> Answer {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    exchange(socket, method, path)
}

/// Sends a request over a connection.
#[track_caller]
pub fn exchange(socket: impl Read + Write, method: &str, path: &str) -> Answer {
    exchange_as("localhost", socket, method, path)
}

/// Sends a request that names this host.
#[track_caller]
pub fn exchange_as(host: &str, mut socket: impl Read + Write, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("a request");
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a complete head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.and_then(|code| code.parse().ok()).expect("a status"),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

/// Returns the body of a page.
#[track_caller]
pub fn get(address: &str, path: &str) -> String {
    let answer = request(address, "GET", path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Returns the value of a metric, whose name includes its labels.
pub fn value(metrics: &str, name: &str) -> Option<f64> {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

/// Waits until the metrics meet the condition, and returns them.
#[track_caller]
pub fn wait_for(address: &str, condition: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let metrics = get(address, "/metrics");
        if condition(&metrics) {
            return metrics;
        }
        assert!(start.elapsed() < LIMIT, "{metrics}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Time limit of an answer and of a change.
pub const LIMIT: Duration = Duration::from_secs(30);
