use std::time::Duration;

use super::*;

/// Session with a clock and a connection whose server side is the test.
struct Dialogue {
    session: Session,
    now: Instant,
    inbox: BytesMut,
    /// Tunnel data from the server.
    received: Vec<u8>,
}

impl Dialogue {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new("h:80".into(), now),
            now,
            inbox: BytesMut::new(),
            received: Vec::new(),
        }
    }

    fn opened() -> Self {
        let mut dialogue = Self::new();
        assert_eq!(dialogue.sent(), ["/open/1 00"]);
        dialogue.receive(&ok(b"ab12\n")).unwrap();
        dialogue
    }

    /// Dialogue with four requests in flight, after five responses with data.
    fn busy() -> Self {
        let mut dialogue = Self::opened();
        dialogue.advance_ms(10);
        assert_eq!(dialogue.sent(), ["/idle/ab12/0 00"]);
        for _ in 0..5 {
            dialogue.receive(&ok(b"\x01x")).unwrap();
            dialogue.sent();
        }
        assert_eq!(dialogue.session.in_flight, 4);
        dialogue.received.clear();
        dialogue
    }

    /// Returns path and hexadecimal body of the requests that are sent now.
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

    /// Returns the numbers of the requests without a response.
    fn numbers(&self) -> Vec<u64> {
        self.session.requests.iter().map(|one| one.number).collect()
    }

    /// Panics unless `idle` requests with these numbers are sent in turn, each after the response to
    /// the one before.
    #[track_caller]
    fn assert_sent_one_by_one(&mut self, numbers: &[u64]) {
        for number in numbers {
            assert_eq!(self.sent(), [format!("/idle/ab12/{number} 00")]);
            self.receive(&ok(b"\x01y")).unwrap();
        }
    }

    /// Receives bytes from the connection, and closes it when it is over.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.receive_before_close(bytes)?;
        if self.session.is_connection_over() {
            return self.session.disconnected(self.now);
        }
        Ok(())
    }

    /// Receives bytes from the connection until it is over.
    fn receive_before_close(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.inbox.extend_from_slice(bytes);
        loop {
            self.session.advance(&mut self.inbox, self.now)?;
            if self.session.is_connection_over() {
                return Ok(());
            }
            let left = usize::try_from(self.session.data_left()).unwrap_or(usize::MAX);
            let count = left.min(self.inbox.len());
            if count == 0 {
                return Ok(());
            }
            self.received.extend_from_slice(&self.inbox.split_to(count));
            self.session.consume_data(count as u64);
        }
    }

    fn disconnect(&mut self) -> Result<(), Error> {
        self.inbox.clear();
        self.session.disconnected(self.now)
    }

    fn advance_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Time until the next `idle` request.
    fn wait_ms(&self) -> u128 {
        let due = self.session.timeout().expect("an idle request is due");
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
fn a_session_from_open_to_close() {
    let mut dialogue = Dialogue::opened();
    assert!(dialogue.session.is_open());
    assert_eq!(dialogue.session.write(b"\x03abc"), 4);
    assert!(!dialogue.session.is_flushed());
    assert_eq!(dialogue.sent(), ["/send/ab12/0 03616263"]);
    assert!(dialogue.session.is_flushed());
    dialogue.receive(&ok(b"\x01hello")).unwrap();
    assert_eq!(dialogue.received, b"hello");
    assert_eq!(dialogue.sent(), ["/idle/ab12/1 00"]);
    dialogue.receive(&ok(b"\x05")).unwrap();
    assert_eq!(dialogue.sent(), [""; 0]);
    assert_eq!(dialogue.wait_ms(), 50);
    dialogue.advance_ms(50);
    assert_eq!(dialogue.sent(), ["/idle/ab12/2 00"]);
    dialogue.session.close();
    assert_eq!(dialogue.sent(), ["/close/ab12/3 00"]);
    dialogue.receive(&ok(b"\x05ignored")).unwrap();
    dialogue.receive(&ok(b"\0")).unwrap();
    assert!(dialogue.session.is_over());
    assert_eq!(dialogue.received, b"hello");
}

#[test]
fn waits_double_up_to_half_a_second() {
    let mut dialogue = Dialogue::opened();
    for expected in [10, 20, 40, 80, 160, 320, 500, 500] {
        assert_eq!(dialogue.wait_ms(), expected);
        dialogue.advance_ms(expected as u64 - 1);
        assert_eq!(dialogue.sent(), [""; 0]);
        dialogue.advance_ms(1);
        assert_eq!(dialogue.sent().len(), 1);
        assert_eq!(
            dialogue.session.timeout(),
            None,
            "one idle request at a time"
        );
        dialogue.receive(&ok(b"\x01")).unwrap();
    }
    dialogue.session.write(b"ping");
    assert_eq!(dialogue.sent().len(), 1, "written data is sent at once");
    dialogue.receive(&ok(b"\x01")).unwrap();
    assert_eq!(
        dialogue.wait_ms(),
        10,
        "the wait restarts after written data"
    );
}

#[test]
fn responses_with_data_are_followed_by_more_requests() {
    let mut dialogue = Dialogue::opened();
    dialogue.advance_ms(10);
    let data = || ok(b"\x01x");
    assert_eq!(dialogue.sent().len(), 1);
    for expected in [1, 2, 2, 2, 1, 1] {
        dialogue.receive(&data()).unwrap();
        assert_eq!(dialogue.sent().len(), expected);
    }
    assert_eq!(dialogue.session.in_flight, 4);
    dialogue.receive(&ok(b"\x01")).unwrap();
    assert_eq!(dialogue.sent(), [""; 0]);
    assert_eq!(dialogue.session.in_flight, 3);
}

#[test]
fn one_send_request_is_in_flight_at_a_time() {
    let mut dialogue = Dialogue::busy();
    dialogue.session.write(b"a");
    assert_eq!(dialogue.sent(), [""; 0]);
    dialogue.session.write(b"b");
    dialogue.receive(&ok(b"\x01x")).unwrap();
    let sent = dialogue.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].starts_with("/send/") && sent[0].ends_with(" 6162"));
    dialogue.session.write(b"c");
    dialogue.receive(&ok(b"\x01x")).unwrap();
    assert!(dialogue.sent()[0].starts_with("/idle/"));
    assert!(!dialogue.session.is_flushed());
}

#[test]
fn written_bytes_are_bounded() {
    let mut dialogue = Dialogue::new();
    let bytes = vec![0; 2 * MAX_WRITTEN];
    assert_eq!(dialogue.session.write(&bytes), MAX_WRITTEN);
    assert_eq!(dialogue.session.write(&bytes), 0);
}

#[test]
fn a_lost_request_is_repeated_once_with_the_same_number_and_body() {
    let mut dialogue = Dialogue::opened();
    dialogue.session.write(b"abc");
    let lost = dialogue.sent();
    assert_eq!(lost, ["/send/ab12/0 616263"]);
    dialogue.disconnect().unwrap();
    assert!(dialogue.session.has_unsent());
    assert_eq!(dialogue.sent(), lost);
    assert_eq!(dialogue.disconnect(), Err(Error::Lost));
}

#[test]
fn open_is_sent_at_most_twice() {
    let mut dialogue = Dialogue::new();
    for expected in [Ok(()), Err(Error::Lost)] {
        assert_eq!(dialogue.sent(), ["/open/1 00"]);
        assert_eq!(dialogue.disconnect(), expected);
    }
}

#[test]
fn a_response_cut_in_the_head_is_requested_again() {
    let answer = ok(b"\x01hello");
    let body_at = answer.len() - 6;
    for cut in 0..answer.len() {
        let mut dialogue = Dialogue::opened();
        dialogue.advance_ms(10);
        let request = dialogue.sent();
        dialogue.receive(&answer[..cut]).unwrap();
        let closed = dialogue.disconnect();
        if cut < body_at {
            closed.unwrap();
            assert_eq!(dialogue.sent(), request);
            dialogue.receive(&answer).unwrap();
            assert_eq!(dialogue.received, b"hello");
        } else {
            assert_eq!(closed, Err(Error::Short), "cut at {cut}");
        }
    }
}

#[test]
fn responses_cut_anywhere_are_joined() {
    let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked\r\n\r\n\
        1\r\n\x01\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for answer in [ok(b"\x01abcde"), chunked.as_bytes().to_vec()] {
        for cut in 0..answer.len() {
            let mut dialogue = Dialogue::opened();
            dialogue.advance_ms(10);
            dialogue.sent();
            dialogue.receive(&answer[..cut]).unwrap();
            dialogue.receive(&answer[cut..]).unwrap();
            assert_eq!(dialogue.received, b"abcde");
            assert_eq!(dialogue.session.in_flight, 0);
            assert_eq!(dialogue.sent(), ["/idle/ab12/1 00"]);
        }
    }
}

#[test]
fn an_announced_close_ends_the_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\x01x",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n\x01x",
    ] {
        let mut dialogue = Dialogue::opened();
        dialogue.advance_ms(10);
        dialogue.sent();
        for number in 1..9 {
            dialogue.receive(answer.as_bytes()).unwrap();
            assert_eq!(dialogue.sent(), [format!("/idle/ab12/{number} 00")]);
        }
        assert_eq!(dialogue.received, b"xxxxxxxx");
    }
}

#[test]
fn a_response_without_length_ends_with_the_connection() {
    let mut dialogue = Dialogue::opened();
    dialogue.advance_ms(10);
    dialogue.sent();
    dialogue.receive(b"HTTP/1.0 200 OK\r\n\r\n\x01abc").unwrap();
    assert_eq!(dialogue.sent(), [""; 0]);
    dialogue.receive(b"def").unwrap();
    dialogue.disconnect().unwrap();
    assert_eq!(dialogue.received, b"abcdef");
    assert_eq!(dialogue.sent(), ["/idle/ab12/1 00"]);
}

#[test]
fn closing_on_pipelined_requests_ends_pipelining() {
    let mut dialogue = Dialogue::busy();
    let mut answered = 0;
    let mut closed = 0;
    for _ in 0..30 {
        dialogue.receive(&ok(b"\x01y")).unwrap();
        answered += 1;
        if dialogue.session.in_flight > 0 {
            dialogue.disconnect().unwrap();
            closed += 1;
        }
        dialogue.sent();
    }
    assert_eq!(dialogue.received.len(), answered);
    assert!(closed <= 3, "{closed} connections");
    assert_eq!(dialogue.session.in_flight, 1);
}

#[test]
fn refused_pipelined_requests_are_repeated_in_order() {
    let mut dialogue = Dialogue::busy();
    let numbers = dialogue.numbers();
    dialogue.receive(&ok(b"\x01y")).unwrap();
    for _ in 0..3 {
        dialogue.receive(&refusal("400 Bad Request")).unwrap();
    }
    dialogue.assert_sent_one_by_one(&numbers[1..]);
    let next = numbers[3] + 1;
    assert_eq!(dialogue.sent(), [format!("/idle/ab12/{next} 00")]);
    let refused = dialogue.receive(&refusal("400 Bad Request")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the server ended the tunnel: 400 Bad Request"
    );
}

#[test]
fn first_of_several_refused_requests_is_repeated_too() {
    let mut dialogue = Dialogue::busy();
    for _ in 0..4 {
        dialogue.receive(&ok(b"\x01y")).unwrap();
    }
    assert_eq!(dialogue.sent().len(), 4);
    let numbers = dialogue.numbers();
    for _ in &numbers {
        dialogue.receive(&refusal("400 Bad Request")).unwrap();
    }
    dialogue.assert_sent_one_by_one(&numbers);
}

#[test]
fn nothing_is_sent_over_a_connection_that_refused_a_request() {
    let mut dialogue = Dialogue::busy();
    let numbers = dialogue.numbers();
    let answers = [ok(b"\x01y"), refusal("400 Bad Request").repeat(3)].concat();
    dialogue.receive_before_close(&answers).unwrap();
    dialogue.session.write(b"more");
    assert_eq!(dialogue.sent(), [""; 0]);
    dialogue.disconnect().unwrap();
    dialogue.assert_sent_one_by_one(&numbers[1..]);
    let next = numbers[3] + 1;
    assert_eq!(dialogue.sent(), [format!("/send/ab12/{next} 6d6f7265")]);
}

#[test]
fn refused_and_lost_requests_are_repeated_in_order() {
    let mut dialogue = Dialogue::busy();
    let numbers = dialogue.numbers();
    dialogue.receive(&ok(b"\x01y")).unwrap();
    dialogue.receive(&refusal("400 Bad Request")).unwrap();
    dialogue.disconnect().unwrap();
    dialogue.assert_sent_one_by_one(&numbers[1..]);
}

#[test]
fn refused_request_may_be_lost_once_when_sent_alone() {
    let lose = |times: usize| {
        let mut dialogue = Dialogue::busy();
        let numbers = dialogue.numbers();
        dialogue.receive(&ok(b"\x01y")).unwrap();
        for _ in &numbers[1..] {
            dialogue.receive(&refusal("400 Bad Request")).unwrap();
        }
        for _ in 0..times {
            dialogue.sent();
            dialogue.disconnect()?;
        }
        dialogue.assert_sent_one_by_one(&numbers[1..]);
        Ok(())
    };
    assert_eq!(lose(1), Ok(()));
    assert_eq!(lose(2), Err(Error::Lost));
}

#[test]
fn request_refused_alone_ends_the_session_at_once() {
    let mut dialogue = Dialogue::opened();
    for refused in [false, true] {
        dialogue.advance_ms(20);
        assert_eq!(dialogue.sent().len(), 1);
        let answer = if refused {
            refusal("400 Bad Request")
        } else {
            ok(b"\x01")
        };
        let received = dialogue.receive(&answer);
        assert_eq!(received.is_err(), refused);
    }
}

#[test]
fn refusal_cut_by_the_end_of_the_connection_is_a_refusal() {
    let mut dialogue = Dialogue::busy();
    let numbers = dialogue.numbers();
    dialogue.receive(&ok(b"\x01y")).unwrap();
    let cut = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\none at";
    dialogue.receive(cut).unwrap();
    assert!(!dialogue.session.is_in_body());
    dialogue.disconnect().unwrap();
    dialogue.assert_sent_one_by_one(&numbers[1..]);
}

#[test]
fn refused_close_is_repeated() {
    let mut dialogue = Dialogue::busy();
    dialogue.receive(&ok(b"\x01y")).unwrap();
    dialogue.session.close();
    let close = dialogue.sent();
    assert!(close.len() == 1 && close[0].starts_with("/close/"));
    for _ in 0..3 {
        dialogue.receive(&ok(b"\x01")).unwrap();
    }
    dialogue.receive(&refusal("400 Bad Request")).unwrap();
    assert!(!dialogue.session.is_over());
    assert_eq!(dialogue.sent(), close);
    dialogue.receive(&refusal("400 Bad Request")).unwrap();
    assert!(dialogue.session.is_over());
}

#[test]
fn an_unknown_session_is_an_error() {
    let mut dialogue = Dialogue::opened();
    dialogue.advance_ms(10);
    dialogue.sent();
    let unknown = dialogue.receive(&refusal("404 Not Found")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the server ended the tunnel: 404 Not Found"
    );
}

#[test]
fn interval_0_ends_the_session_after_other_intervals() {
    let mut dialogue = Dialogue::opened();
    dialogue.advance_ms(10);
    dialogue.sent();
    dialogue.receive(&ok(b"\x01x")).unwrap();
    dialogue.sent();
    dialogue.receive(&ok(b"\0y")).unwrap();
    assert!(!dialogue.session.is_over(), "the response has data");
    dialogue.sent();
    dialogue.receive(&ok(b"\0")).unwrap();
    assert!(dialogue.session.is_over());
    assert_eq!(dialogue.received, b"xy");

    let mut dialogue = Dialogue::opened();
    for _ in 0..3 {
        dialogue.advance_ms(500);
        assert_eq!(dialogue.sent().len(), 1);
        dialogue.receive(&ok(b"\0")).unwrap();
    }
    assert!(!dialogue.session.is_over(), "this server always sends 0");
}

#[test]
fn a_response_without_a_body_counts_as_empty() {
    for answer in ["HTTP/1.1 204 No Content\r\n\r\n".into(), ok(b"")] as [Vec<u8>; 2] {
        let mut dialogue = Dialogue::opened();
        dialogue.advance_ms(10);
        dialogue.sent();
        dialogue.receive(&answer).unwrap();
        assert_eq!(dialogue.wait_ms(), 20);
    }
}

#[test]
fn bytes_beyond_the_announced_length_are_errors() {
    for surplus in [&b"x"[..], b"HTTP", b"\x16\x03\x01"] {
        let mut dialogue = Dialogue::opened();
        dialogue.advance_ms(10);
        dialogue.sent();
        let answer = [ok(b"\x01hello"), surplus.to_vec()].concat();
        assert_eq!(dialogue.receive(&answer), Err(Error::Surplus));
    }
    let mut dialogue = Dialogue::busy();
    let answer = [ok(b"\x01hello"), b"xHTTP/1.1 200 OK\r\n".to_vec()].concat();
    assert_eq!(dialogue.receive(&answer), Err(Error::Surplus));
}

#[test]
fn servers_without_rtmpt_are_described() {
    let error = |answer: &[u8]| {
        let mut dialogue = Dialogue::new();
        dialogue.sent();
        dialogue.receive(answer).unwrap_err().to_string()
    };
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Length: 99\r\n\r\n<!DOCTYPE";
    let found = b"HTTP/1.1 302 Found\r\nLocation: https://h/login\r\n\r\n";
    for (answer, expected) in [
        (
            &refusal("404 Not Found")[..],
            "the server does not speak RTMPT: 404 Not Found",
        ),
        (
            &refusal("405 Not Allowed"),
            "the server does not speak RTMPT: 405 Not Allowed",
        ),
        (
            found,
            "the server does not speak RTMPT: 302 Found, to https://h/login",
        ),
        (
            page,
            "the server does not speak RTMPT: it answers with a web page",
        ),
        (
            &ok(b""),
            "the server does not speak RTMPT: its response contains no session id",
        ),
        (
            &ok(b"<html>"),
            "the server does not speak RTMPT: its response contains no session id",
        ),
        (
            &ok(b"two words\n"),
            "the server does not speak RTMPT: its response contains no session id",
        ),
        (
            &ok(&[b'x'; 300]),
            "the server does not speak RTMPT: its response contains no session id",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "the server's HTTP response has an unexpected coding",
        ),
        (b"\x03\0\0\0", "the server does not speak HTTP"),
        (
            b"220 mail.example ESMTP\r\n",
            "the server answers in text (`220 mail.example ESMTP`), not HTTP",
        ),
        (
            &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(11),
            "the server does not speak HTTP",
        ),
    ] {
        assert_eq!(error(answer), expected);
    }
}
