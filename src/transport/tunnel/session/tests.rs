use std::time::Duration;

use super::*;

/// A tunnel, the clock, and the connection that is between us and a server that the test plays.
struct Talk {
    session: Session,
    now: Instant,
    inbox: BytesMut,
    /// What the server said through the tunnel.
    heard: Vec<u8>,
}

impl Talk {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new("h:80".into(), now),
            now,
            inbox: BytesMut::new(),
            heard: Vec::new(),
        }
    }

    fn opened() -> Self {
        let mut talk = Self::new();
        assert_eq!(talk.sent(), ["/open/1 00"]);
        talk.comes(&ok(b"ab12\n")).unwrap();
        talk
    }

    /// One that has had so much that the line is filled with questions.
    fn busy() -> Self {
        let mut talk = Self::opened();
        talk.pass_ms(10);
        assert_eq!(talk.sent(), ["/idle/ab12/0 00"]);
        for _ in 0..5 {
            talk.comes(&ok(b"\x01x")).unwrap();
            talk.sent();
        }
        assert_eq!(talk.session.in_flight, 4);
        talk.heard.clear();
        talk
    }

    /// The requests that go out now: where to, and the body in hexadecimal.
    fn sent(&mut self) -> Vec<String> {
        let mut out = BytesMut::new();
        self.session.prepare(self.now);
        self.session.transmit(&mut out);
        let mut requests = Vec::new();
        let mut rest = &out[..];
        while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(rest[..end].to_vec()).unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let length = head.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
            let body = &rest[end + 4..][..length];
            let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            requests.push(format!("{path} {hex}"));
            rest = &rest[end + 4 + length..];
        }
        requests
    }

    /// Bytes come over the connection.
    fn comes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.inbox.extend_from_slice(bytes);
        loop {
            self.session.advance(&mut self.inbox, self.now)?;
            if self.session.is_connection_over() {
                return self.session.disconnected(self.now);
            }
            let left = usize::try_from(self.session.data_left()).unwrap_or(usize::MAX);
            let count = left.min(self.inbox.len());
            if count == 0 {
                return Ok(());
            }
            self.heard.extend_from_slice(&self.inbox.split_to(count));
            self.session.took(count as u64);
        }
    }

    fn closes(&mut self) -> Result<(), Error> {
        self.inbox.clear();
        self.session.disconnected(self.now)
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// How long until the next question.
    fn wait_ms(&self) -> u128 {
        let due = self.session.timeout().expect("a question is due");
        due.saturating_duration_since(self.now).as_millis()
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn refusal(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\noops").into_bytes()
}

#[test]
fn a_conversation() {
    let mut talk = Talk::opened();
    assert!(talk.session.is_open());
    assert_eq!(talk.session.write(b"\x03abc"), 4);
    assert!(!talk.session.is_flushed());
    assert_eq!(talk.sent(), ["/send/ab12/0 03616263"]);
    assert!(talk.session.is_flushed());
    talk.comes(&ok(b"\x01hello")).unwrap();
    assert_eq!(talk.heard, b"hello");
    assert_eq!(talk.sent(), ["/idle/ab12/1 00"]);
    talk.comes(&ok(b"\x05")).unwrap();
    assert_eq!(talk.sent(), [""; 0]);
    assert_eq!(talk.wait_ms(), 50);
    talk.pass_ms(50);
    assert_eq!(talk.sent(), ["/idle/ab12/2 00"]);
    talk.session.close();
    assert_eq!(talk.sent(), ["/close/ab12/3 00"]);
    talk.comes(&ok(b"\x05ignored")).unwrap();
    talk.comes(&ok(b"\0")).unwrap();
    assert!(talk.session.is_over());
    assert_eq!(talk.heard, b"hello");
}

#[test]
fn waits_double_from_what_the_server_suggests_to_half_a_second() {
    let mut talk = Talk::opened();
    for expected in [10, 20, 40, 80, 160, 320, 500, 500] {
        assert_eq!(talk.wait_ms(), expected);
        talk.pass_ms(expected as u64 - 1);
        assert_eq!(talk.sent(), [""; 0]);
        talk.pass_ms(1);
        assert_eq!(talk.sent().len(), 1);
        assert_eq!(talk.session.timeout(), None, "one question at a time");
        talk.comes(&ok(b"\x01")).unwrap();
    }
    talk.session.write(b"ping");
    assert_eq!(talk.sent().len(), 1, "what is said does not wait");
    talk.comes(&ok(b"\x01")).unwrap();
    assert_eq!(talk.wait_ms(), 10, "and may be answered soon");
}

#[test]
fn answers_with_data_are_followed_at_once_by_more_and_more() {
    let mut talk = Talk::opened();
    talk.pass_ms(10);
    let data = || ok(b"\x01x");
    assert_eq!(talk.sent().len(), 1);
    for expected in [1, 2, 2, 2, 1, 1] {
        talk.comes(&data()).unwrap();
        assert_eq!(talk.sent().len(), expected);
    }
    assert_eq!(talk.session.in_flight, 4);
    talk.comes(&ok(b"\x01")).unwrap();
    assert_eq!(talk.sent(), [""; 0]);
    assert_eq!(talk.session.in_flight, 3);
}

#[test]
fn what_is_written_goes_out_as_one_request_at_a_time() {
    let mut talk = Talk::busy();
    talk.session.write(b"a");
    assert_eq!(talk.sent(), [""; 0]);
    talk.session.write(b"b");
    talk.comes(&ok(b"\x01x")).unwrap();
    let sent = talk.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].starts_with("/send/") && sent[0].ends_with(" 6162"));
    talk.session.write(b"c");
    talk.comes(&ok(b"\x01x")).unwrap();
    assert!(talk.sent()[0].starts_with("/idle/"));
    assert!(!talk.session.is_flushed());
}

#[test]
fn what_waits_is_bounded() {
    let mut talk = Talk::new();
    let lot = vec![0; 2 * MAX_WRITTEN];
    assert_eq!(talk.session.write(&lot), MAX_WRITTEN);
    assert_eq!(talk.session.write(&lot), 0);
}

#[test]
fn a_lost_request_is_made_once_more_with_the_same_number_and_body() {
    let mut talk = Talk::opened();
    talk.session.write(b"abc");
    let lost = talk.sent();
    assert_eq!(lost, ["/send/ab12/0 616263"]);
    talk.closes().unwrap();
    assert!(talk.session.has_unsent());
    assert_eq!(talk.sent(), lost);
    assert_eq!(talk.closes(), Err(Error::Lost));
}

#[test]
fn open_is_tried_twice() {
    let mut talk = Talk::new();
    for expected in [Ok(()), Err(Error::Lost)] {
        assert_eq!(talk.sent(), ["/open/1 00"]);
        assert_eq!(talk.closes(), expected);
    }
}

#[test]
fn the_head_of_an_answer_that_is_cut_is_none() {
    let answer = ok(b"\x01hello");
    let body_at = answer.len() - 6;
    for cut in 0..answer.len() {
        let mut talk = Talk::opened();
        talk.pass_ms(10);
        let asked = talk.sent();
        talk.comes(&answer[..cut]).unwrap();
        let closed = talk.closes();
        if cut < body_at {
            closed.unwrap();
            assert_eq!(talk.sent(), asked);
            talk.comes(&answer).unwrap();
            assert_eq!(talk.heard, b"hello");
        } else {
            assert_eq!(closed, Err(Error::Short), "cut at {cut}");
        }
    }
}

#[test]
fn answers_are_the_same_wherever_they_are_cut() {
    let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked\r\n\r\n\
        1\r\n\x01\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for answer in [ok(b"\x01abcde"), chunked.as_bytes().to_vec()] {
        for cut in 0..answer.len() {
            let mut talk = Talk::opened();
            talk.pass_ms(10);
            talk.sent();
            talk.comes(&answer[..cut]).unwrap();
            talk.comes(&answer[cut..]).unwrap();
            assert_eq!(talk.heard, b"abcde");
            assert_eq!(talk.session.in_flight, 0);
            assert_eq!(talk.sent(), ["/idle/ab12/1 00"]);
        }
    }
}

#[test]
fn a_connection_that_is_announced_to_close_is_done_with() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\x01x",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n\x01x",
    ] {
        let mut talk = Talk::opened();
        talk.pass_ms(10);
        talk.sent();
        for number in 1..9 {
            talk.comes(answer.as_bytes()).unwrap();
            assert_eq!(talk.sent(), [format!("/idle/ab12/{number} 00")]);
        }
        assert_eq!(talk.heard, b"xxxxxxxx");
    }
}

#[test]
fn an_answer_may_end_with_the_connection() {
    let mut talk = Talk::opened();
    talk.pass_ms(10);
    talk.sent();
    talk.comes(b"HTTP/1.0 200 OK\r\n\r\n\x01abc").unwrap();
    assert_eq!(talk.sent(), [""; 0]);
    talk.comes(b"def").unwrap();
    talk.closes().unwrap();
    assert_eq!(talk.heard, b"abcdef");
    assert_eq!(talk.sent(), ["/idle/ab12/1 00"]);
}

#[test]
fn a_server_that_closes_on_what_comes_ahead_is_asked_one_at_a_time_in_the_end() {
    let mut talk = Talk::busy();
    let mut asked = 0;
    let mut closed = 0;
    for _ in 0..30 {
        talk.comes(&ok(b"\x01y")).unwrap();
        asked += 1;
        if talk.session.in_flight > 0 {
            talk.closes().unwrap();
            closed += 1;
        }
        talk.sent();
    }
    assert_eq!(talk.heard.len(), asked);
    assert!(closed <= 3, "{closed} connections");
    assert_eq!(talk.session.in_flight, 1);
}

#[test]
fn a_refusal_of_what_comes_ahead_is_asked_again_in_its_turn() {
    let mut talk = Talk::busy();
    let numbers: Vec<u64> = talk.session.queue.iter().map(|one| one.number).collect();
    talk.comes(&ok(b"\x01y")).unwrap();
    for _ in 0..3 {
        talk.comes(&refusal("400 Bad Request")).unwrap();
    }
    for number in &numbers[1..] {
        assert_eq!(talk.sent(), [format!("/idle/ab12/{number} 00")]);
        talk.comes(&ok(b"\x01y")).unwrap();
    }
    let next = numbers[3] + 1;
    assert_eq!(talk.sent(), [format!("/idle/ab12/{next} 00")]);
    let refused = talk.comes(&refusal("400 Bad Request")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the server does not go on with the tunnel: 400 Bad Request"
    );
}

#[test]
fn a_session_that_the_server_does_not_know_any_more_is_an_error() {
    let mut talk = Talk::opened();
    talk.pass_ms(10);
    talk.sent();
    let unknown = talk.comes(&refusal("404 Not Found")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the server does not go on with the tunnel: 404 Not Found"
    );
}

#[test]
fn an_interval_of_0_is_the_end_where_there_were_others() {
    let mut talk = Talk::opened();
    talk.pass_ms(10);
    talk.sent();
    talk.comes(&ok(b"\x01x")).unwrap();
    talk.sent();
    talk.comes(&ok(b"\0y")).unwrap();
    assert!(!talk.session.is_over(), "it says something");
    talk.sent();
    talk.comes(&ok(b"\0")).unwrap();
    assert!(talk.session.is_over());
    assert_eq!(talk.heard, b"xy");

    let mut talk = Talk::opened();
    for _ in 0..3 {
        talk.pass_ms(500);
        assert_eq!(talk.sent().len(), 1);
        talk.comes(&ok(b"\0")).unwrap();
    }
    assert!(!talk.session.is_over(), "it says so always");
}

#[test]
fn an_answer_without_a_body_is_an_empty_one() {
    for answer in ["HTTP/1.1 204 No Content\r\n\r\n".into(), ok(b"")] as [Vec<u8>; 2] {
        let mut talk = Talk::opened();
        talk.pass_ms(10);
        talk.sent();
        talk.comes(&answer).unwrap();
        assert_eq!(talk.wait_ms(), 20);
    }
}

#[test]
fn bodies_that_are_not_as_long_as_announced_are_errors() {
    for surplus in [&b"x"[..], b"HTTP", b"\x16\x03\x01"] {
        let mut talk = Talk::opened();
        talk.pass_ms(10);
        talk.sent();
        let answer = [ok(b"\x01hello"), surplus.to_vec()].concat();
        assert_eq!(talk.comes(&answer), Err(Error::Surplus));
    }
    let mut talk = Talk::busy();
    let answer = [ok(b"\x01hello"), b"xHTTP/1.1 200 OK\r\n".to_vec()].concat();
    assert_eq!(talk.comes(&answer), Err(Error::Surplus));
}

#[test]
fn what_is_no_tunnel_is_told() {
    let told = |answer: &[u8]| {
        let mut talk = Talk::new();
        talk.sent();
        talk.comes(answer).unwrap_err().to_string()
    };
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Length: 99\r\n\r\n<!DOCTYPE";
    let found = b"HTTP/1.1 302 Found\r\nLocation: https://h/login\r\n\r\n";
    for (answer, expected) in [
        (
            &refusal("404 Not Found")[..],
            "the server speaks no RTMPT: 404 Not Found",
        ),
        (
            &refusal("405 Not Allowed"),
            "the server speaks no RTMPT: 405 Not Allowed",
        ),
        (
            found,
            "the server speaks no RTMPT: 302 Found, to https://h/login",
        ),
        (page, "the server speaks no RTMPT: it answers with a page"),
        (
            &ok(b""),
            "the server speaks no RTMPT: its answer names no session",
        ),
        (
            &ok(b"<html>"),
            "the server speaks no RTMPT: its answer names no session",
        ),
        (
            &ok(b"two words\n"),
            "the server speaks no RTMPT: its answer names no session",
        ),
        (
            &ok(&[b'x'; 300]),
            "the server speaks no RTMPT: its answer names no session",
        ),
        (b"\x03\0\0\0", "the server speaks no HTTP"),
        (
            &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(11),
            "the server speaks no HTTP",
        ),
    ] {
        assert_eq!(told(answer), expected);
    }
}
