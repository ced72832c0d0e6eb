//! RTMPT front: HTTP server that relays the sessions of clients to a plain RTMP server.

use std::{
    collections::{BTreeMap, HashMap},
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::super::listener::Listener;

/// Running RTMPT front. Each session has one connection to the RTMP server.
#[derive(Debug)]
pub struct Tunnel {
    listener: Listener,
    shared: Arc<Shared>,
}

/// Behavior of the front. The default front behaves correctly.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// Largest number of server bytes in one answer.
    pub bytes_per_answer: usize,
    /// Polling interval sent in each answer, in hundredths of a second.
    pub interval: u8,
    pub headers: Headers,
    pub framing: Framing,
    /// Number of answers after which the connection is closed.
    pub answers_per_connection: Option<u64>,
    /// Whether the last answer announces the close.
    pub announces_close: bool,
    pub pipelined: OnPipelined,
    /// Delay of each answer.
    pub delay: Duration,
    /// Whether each answer is preceded by "100 Continue".
    pub continues: bool,
    /// Fault that occurs once, and its request number, starting at 0 (`open`).
    pub fault: Option<(u64, TunnelFault)>,
}

/// Headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    Usual,
    /// Only the length.
    Bare,
    OddCase,
}

/// Framing of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    /// The end of the connection, as in HTTP/1.0.
    Close,
}

/// Handling of requests that arrive before the previous request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPipelined {
    Served,
    /// The connection is closed after the answer.
    Closed,
    /// All requests after the first are answered with "400 Bad Request".
    Refused,
    /// All requests that arrive together are answered with "400 Bad Request", the first one too.
    AllRefused,
    /// The first refused request is answered with "400 Bad Request", and the connection is closed.
    RefusedAndClosed,
}

/// Fault of the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelFault {
    /// All sessions are forgotten, as after a restart.
    ForgetSessions,
    /// The request is processed, and the connection is closed without an answer.
    LoseAnswer,
    /// This text is sent as the answer, and the connection is closed.
    Answer(&'static str),
    /// The body is longer than announced.
    BodyTooLong,
    /// The body is shorter than announced, and the connection is closed.
    BodyTooShort,
    /// The body is this number of bytes shorter than announced, and the connection stays open.
    BytesMissing(usize),
    /// No answer is sent, and the connection stays open.
    Silence,
}

/// Counts of the received requests.
#[derive(Debug, Clone, Default)]
pub struct RequestCounts {
    /// Connections with at least one request.
    pub connections: u64,
    pub opens: u64,
    pub sends: u64,
    pub idles: u64,
    pub closes: u64,
    /// Requests with the number of an earlier request.
    pub repeats: u64,
    /// Repeated requests that differ from the original.
    pub altered: u64,
    /// Requests whose number is neither the next nor a repeated one.
    pub jumps: u64,
    /// Largest number of requests received at a time.
    pub most_at_once: u64,
}

#[derive(Debug)]
struct Shared {
    config: TunnelConfig,
    /// Port of the RTMP server.
    port: u16,
    sessions: Mutex<HashMap<String, Arc<Mutex<Session>>>>,
    requests: Mutex<RequestCounts>,
    count: AtomicU64,
}

#[derive(Debug)]
struct Session {
    server: TcpStream,
    next_number: u64,
    /// Recent requests and their answers, for repeated requests.
    answers: BTreeMap<u64, (Request, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Request {
    /// Request line without the version: "POST /idle/abc/7".
    line: String,
    body: Vec<u8>,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self {
            bytes_per_answer: 32 * 1024,
            interval: 1,
            headers: Headers::Usual,
            framing: Framing::Length,
            answers_per_connection: None,
            announces_close: false,
            pipelined: OnPipelined::Served,
            delay: Duration::ZERO,
            continues: false,
            fault: None,
        }
    }
}

impl Tunnel {
    /// Starts a front on a free loopback port for the RTMP server on `port`.
    pub fn start(port: u16, config: TunnelConfig) -> Self {
        let shared = Arc::new(Shared {
            config,
            port,
            sessions: Mutex::default(),
            requests: Mutex::default(),
            count: AtomicU64::new(0),
        });
        let listener = Listener::start({
            let shared = shared.clone();
            move |_, socket| serve(&shared, &socket)
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            shared,
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Returns the rtmpt URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        self.listener.url("rtmpt", name)
    }

    /// Returns the current counts.
    pub fn requests(&self) -> RequestCounts {
        lock(&self.shared.requests).clone()
    }
}

fn serve(shared: &Shared, socket: &TcpStream) {
    let config = &shared.config;
    let mut inbox = Vec::new();
    let mut answered = 0;
    let _ = socket.set_nodelay(true);
    loop {
        let is_pipelined = !inbox.is_empty();
        let Some(request) = read_request(socket, &mut inbox) else {
            break;
        };
        let number = shared.count.fetch_add(1, Ordering::SeqCst);
        count_request(shared, &request, answered, &inbox);
        thread::sleep(config.delay);
        let fault = config.fault.filter(|(at, _)| *at == number);
        let fault = fault.map(|(_, fault)| fault);
        match fault {
            Some(TunnelFault::ForgetSessions) => lock(&shared.sessions).clear(),
            Some(TunnelFault::Answer(answer)) => {
                let _ = (&*socket).write_all(answer.as_bytes());
                break;
            }
            Some(TunnelFault::Silence) => {
                while let Ok(1..) = (&*socket).read(&mut [0; 4096]) {}
                break;
            }
            _ => {}
        }
        let is_refused = match config.pipelined {
            OnPipelined::Served | OnPipelined::Closed => false,
            OnPipelined::Refused | OnPipelined::RefusedAndClosed => is_pipelined,
            OnPipelined::AllRefused => is_pipelined || !inbox.is_empty(),
        };
        let (status, body) = if is_refused {
            ("400 Bad Request", b"one at a time".to_vec())
        } else {
            answer(shared, &request)
        };
        if fault == Some(TunnelFault::LoseAnswer) {
            break;
        }
        answered += 1;
        let is_last = Some(answered) == config.answers_per_connection
            || config.framing == Framing::Close
            || config.pipelined == OnPipelined::Closed && !inbox.is_empty()
            || config.pipelined == OnPipelined::RefusedAndClosed && is_refused;
        let bytes = encode_answer(config, status, &body, is_last, fault);
        if (&*socket).write_all(&bytes).is_err()
            || is_last
            || fault == Some(TunnelFault::BodyTooShort)
        {
            break;
        }
    }
    // Unread requests would turn the close into a reset, which discards answers in flight.
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.set_read_timeout(Some(DRAIN_TIMEOUT));
    while let Ok(1..) = (&*socket).read(&mut [0; 4096]) {}
    let _ = socket.shutdown(Shutdown::Both);
}

fn count_request(shared: &Shared, request: &Request, answered: u64, inbox: &[u8]) {
    let mut requests = lock(&shared.requests);
    requests.connections += u64::from(answered == 0);
    match request.command() {
        "open" => requests.opens += 1,
        "send" => requests.sends += 1,
        "idle" => requests.idles += 1,
        "close" => requests.closes += 1,
        _ => {}
    }
    let waiting = inbox.windows(5).filter(|window| *window == b"POST ");
    let at_once = 1 + waiting.count() as u64;
    requests.most_at_once = requests.most_at_once.max(at_once);
}

/// Returns the status and the body of the answer to a request.
fn answer(shared: &Shared, request: &Request) -> (&'static str, Vec<u8>) {
    let not_found = || ("404 Not Found", b"no such session".to_vec());
    if request.command() == "open" {
        return ("200 OK", format!("{}\n", shared.open()).into_bytes());
    }
    let session = lock(&shared.sessions).get(request.session()).cloned();
    let Some(session) = session else {
        return not_found();
    };
    let mut session = lock(&session);
    if let Some((before, answer)) = session.answers.get(&request.number()) {
        let mut requests = lock(&shared.requests);
        requests.repeats += 1;
        requests.altered += u64::from(before != request);
        return ("200 OK", answer.clone());
    }
    if request.number() != session.next_number {
        lock(&shared.requests).jumps += 1;
    }
    session.next_number = request.number() + 1;
    if request.command() == "send" && write(&session.server, &request.body).is_err() {
        lock(&shared.sessions).remove(request.session());
        return not_found();
    }
    if request.command() == "close" {
        lock(&shared.sessions).remove(request.session());
        return ("200 OK", vec![0]);
    }
    let mut body = vec![shared.config.interval];
    match read_available(&session.server, shared.config.bytes_per_answer, &mut body) {
        Taken::Some => {}
        Taken::End => {
            // Red5 reports the end of a session with the polling interval 0.
            body[0] = 0;
            lock(&shared.sessions).remove(request.session());
        }
        Taken::Broken => {
            lock(&shared.sessions).remove(request.session());
            return not_found();
        }
    }
    let number = request.number();
    session
        .answers
        .insert(number, (request.clone(), body.clone()));
    session
        .answers
        .retain(|&old, _| old + ANSWERS_KEPT > number);
    ("200 OK", body)
}

impl Shared {
    fn open(&self) -> String {
        let mut requests = lock(&self.sessions);
        let id = format!("S{:05}x", requests.len() + 1);
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let server = server.expect("the RTMP server accepts connections");
        let _ = server.set_nodelay(true);
        server.set_nonblocking(true).expect("a socket");
        let session = Session {
            server,
            next_number: 0,
            answers: BTreeMap::new(),
        };
        requests.insert(id.clone(), Arc::new(Mutex::new(session)));
        id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

enum Taken {
    Some,
    End,
    Broken,
}

/// Appends available server bytes to `body`, up to `limit`.
fn read_available(mut server: &TcpStream, limit: usize, body: &mut Vec<u8>) -> Taken {
    let before = body.len();
    let mut buffer = vec![0; limit];
    while body.len() < before + limit {
        let free = before + limit - body.len();
        match server.read(&mut buffer[..free]) {
            Ok(0) if body.len() == before => return Taken::End,
            Ok(0) => return Taken::Some,
            Ok(count) => body.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Taken::Some,
            Err(_) if body.len() > before => return Taken::Some,
            Err(_) => return Taken::Broken,
        }
    }
    Taken::Some
}

fn write(mut server: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match server.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Encodes an answer.
fn encode_answer(
    config: &TunnelConfig,
    status: &str,
    body: &[u8],
    is_last: bool,
    fault: Option<TunnelFault>,
) -> Vec<u8> {
    let length = match fault {
        Some(TunnelFault::BodyTooLong) => body.len() - 1,
        Some(TunnelFault::BodyTooShort) => body.len() + 1,
        Some(TunnelFault::BytesMissing(count)) => body.len() + count,
        _ => body.len(),
    };
    let version = match config.framing {
        Framing::Close => "1.0",
        _ => "1.1",
    };
    let mut head = String::new();
    if config.continues {
        head += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    head += &format!("HTTP/{version} {status}\r\n");
    let (content_length, chunked) = match config.headers {
        Headers::OddCase => ("cOnTeNt-lEnGtH", "tRaNsFeR-eNcOdInG: cHuNkEd\r\n"),
        _ => ("Content-Length", "Transfer-Encoding: chunked\r\n"),
    };
    match config.framing {
        Framing::Length => head += &format!("{content_length}: {length}\r\n"),
        Framing::Chunked => head += chunked,
        Framing::Close => {}
    }
    match config.headers {
        Headers::Usual => {
            head += "Content-Type: application/x-fcs\r\nCache-Control: no-cache\r\n";
            if !is_last || !config.announces_close {
                head += "Connection: Keep-Alive\r\n";
            }
        }
        Headers::OddCase => head += "cOnTeNt-TyPe: application/x-fcs\r\n",
        Headers::Bare => {}
    }
    if is_last && config.announces_close {
        head += "Connection: close\r\n";
    }
    let mut out = format!("{head}\r\n").into_bytes();
    if config.framing == Framing::Chunked {
        for chunk in body.chunks(1000) {
            out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(body);
    }
    out
}

fn read_request(mut socket: &TcpStream, inbox: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(request) = take_request(inbox) {
            return Some(request);
        }
        let mut buffer = [0; 8192];
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => inbox.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

fn take_request(inbox: &mut Vec<u8>) -> Option<Request> {
    let end = inbox.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&inbox[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("Content-Length");
        is_length.then(|| value.trim().parse().expect("a length"))
    });
    let request_len = end + 4 + length.unwrap_or(0);
    if inbox.len() < request_len {
        return None;
    }
    let body = inbox.drain(..request_len).skip(end + 4).collect();
    let line = head.lines().next().unwrap_or_default();
    let line = line
        .trim_end_matches(" HTTP/1.1")
        .trim_end_matches(" HTTP/1.0");
    Some(Request {
        line: line.to_owned(),
        body,
    })
}

impl Request {
    fn path_component(&self, index: usize) -> &str {
        self.line.split('/').nth(index).unwrap_or_default()
    }

    fn command(&self) -> &str {
        self.path_component(1)
    }

    fn session(&self) -> &str {
        self.path_component(2)
    }

    fn number(&self) -> u64 {
        self.path_component(3).parse().unwrap_or(u64::MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("the lock is not poisoned")
}

/// Number of answers kept for repeated requests.
const ANSWERS_KEPT: u64 = 8;

/// Time limit for the client to close the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
