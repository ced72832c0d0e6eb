//! HTTP tunnel: arbitrary and valid answers, lost connections and the passing of time.
//!
//! Invariants: tunnel data arrives complete and in order, written data is sent complete and in order, no
//! request is sent more than three times, and nothing but an incomplete head waits in the inbox.

#![no_main]

mod pieces;

use std::{collections::BTreeMap, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pieces::pieces;
use rtmpull::transport::tunnel_fuzzing::Client;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    cut: u8,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Write(&'a [u8]),
    Wait(u16),
    WaitForRequest,
    /// Answers the oldest request.
    Answer {
        interval: u8,
        data: &'a [u8],
        coding: Coding,
        is_last: bool,
    },
    Interim,
    Refuse(u16),
    Bytes(&'a [u8]),
    Disconnect,
    Close,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Coding {
    Length,
    Chunked(u8),
    UntilClose,
}

fuzz_target!(|input: Input<'_>| {
    let mut tunnel = Tunnel::new(input.cut);
    for step in &input.steps {
        tunnel.send();
        // The tunnel ends with the first error.
        if tunnel.step(step).is_err() || tunnel.client.is_over() {
            return tunnel.check();
        }
    }
    tunnel.send();
    tunnel.check();
});

/// Client with the server's view of the session.
struct Tunnel {
    client: Client,
    cut: u8,
    /// Paths of the requests in flight.
    in_flight: Vec<String>,
    /// Number of transmissions of each request.
    transmissions: BTreeMap<String, u32>,
    /// Bodies of the `send` requests by number.
    sent: BTreeMap<u64, Vec<u8>>,
    written: Vec<u8>,
    /// Data in the valid answers.
    answered: Vec<u8>,
    /// Whether all answers were valid.
    is_valid: bool,
    is_closing: bool,
}

impl Tunnel {
    fn new(cut: u8) -> Self {
        Self {
            client: Client::start(),
            cut,
            in_flight: Vec::new(),
            transmissions: BTreeMap::new(),
            sent: BTreeMap::new(),
            written: Vec::new(),
            answered: Vec::new(),
            is_valid: true,
            is_closing: false,
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Result<(), String> {
        match *step {
            Step::Write(bytes) => {
                let count = self.client.write(bytes);
                self.written.extend_from_slice(&bytes[..count]);
            }
            Step::Wait(ms) => self.client.wait(Duration::from_millis(ms.into())),
            Step::WaitForRequest => {
                if let Some(time) = self.client.timeout() {
                    assert!(time <= LONGEST_INTERVAL, "{time:?}");
                    self.client.wait(time);
                }
            }
            Step::Answer {
                interval,
                data,
                coding,
                is_last,
            } => return self.answer(interval, data, coding, is_last),
            Step::Interim => return self.receive(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Step::Refuse(code) => {
                let code = 400 + code % 200;
                let answer = format!("HTTP/1.1 {code} No\r\nContent-Length: 2\r\n\r\nno");
                if !self.in_flight.is_empty() {
                    self.in_flight.remove(0);
                }
                return self.receive(answer.as_bytes());
            }
            Step::Bytes(bytes) => {
                self.is_valid = false;
                return self.receive(bytes);
            }
            Step::Disconnect => {
                self.in_flight.clear();
                return self.client.disconnect();
            }
            Step::Close => {
                self.is_closing = true;
                self.client.close();
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        interval: u8,
        data: &[u8],
        coding: Coding,
        is_last: bool,
    ) -> Result<(), String> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let path = self.in_flight.remove(0);
        let body = match path.starts_with("/open/") {
            true => b"ab12\n".to_vec(),
            false => [&[interval][..], data].concat(),
        };
        if !path.starts_with("/open/") && !path.starts_with("/close/") && !self.is_closing {
            self.answered.extend_from_slice(data);
        }
        let mut answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-fcs\r\n".to_owned();
        if is_last {
            answer += "Connection: close\r\n";
        }
        let mut bytes = Vec::new();
        match coding {
            Coding::Length => {
                answer += &format!("Content-Length: {}\r\n\r\n", body.len());
                bytes.extend(answer.as_bytes());
                bytes.extend(&body);
            }
            Coding::Chunked(size) => {
                answer += "Transfer-Encoding: chunked\r\n\r\n";
                bytes.extend(answer.as_bytes());
                for chunk in body.chunks(usize::from(size).max(1)) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            Coding::UntilClose => {
                bytes.extend((answer + "\r\n").as_bytes());
                bytes.extend(&body);
            }
        }
        self.receive(&bytes)?;
        if matches!(coding, Coding::UntilClose) {
            self.in_flight.clear();
            self.client.disconnect()?;
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in pieces(bytes, self.cut) {
            if self.client.receive(piece)? {
                // The rest is in flight on a closed connection.
                self.in_flight.clear();
                break;
            }
            assert!(self.client.waiting() <= MAX_WAITING);
        }
        Ok(())
    }

    /// Takes the requests that the client sends.
    fn send(&mut self) {
        let bytes = self.client.requests();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let end = rest
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .expect("a complete head");
            let head = str::from_utf8(&rest[..end]).expect("a head in ASCII");
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            let length: usize = head
                .rsplit(' ')
                .next()
                .and_then(|digits| digits.parse().ok())
                .expect("a length");
            let body = rest[end + 4..][..length].to_vec();
            rest = &rest[end + 4 + length..];
            let count = self.transmissions.entry(path.clone()).or_default();
            *count += 1;
            assert!(*count <= 3, "{path} is sent {count} times");
            if path.starts_with("/send/") {
                let number = path
                    .rsplit('/')
                    .next()
                    .and_then(|digits| digits.parse().ok());
                let known = self.sent.insert(number.expect("a number"), body.clone());
                assert!(
                    known.is_none_or(|known| known == body),
                    "a retry with other data"
                );
            }
            self.in_flight.push(path);
        }
        assert!(self.in_flight.len() <= MAX_IN_FLIGHT);
    }

    fn check(&self) {
        let sent: Vec<u8> = self.sent.values().flatten().copied().collect();
        assert!(self.written.starts_with(&sent), "data is lost or reordered");
        if self.is_valid {
            assert!(
                self.answered.starts_with(&self.client.received),
                "received data differs"
            );
        }
    }
}

/// Longest head or chunk line that may wait.
const MAX_WAITING: usize = 64 * 1024;

const MAX_IN_FLIGHT: usize = 64;

/// Longest polling interval.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
