//! Requests of an RTMPT session.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Request that is sent or waiting.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    /// Number in the path; `open` and the other commands count separately.
    pub(super) number: u64,
    pub(super) body: Bytes,
    /// How often the request was sent.
    pub(super) transmissions: u32,
    /// Whether another request was in flight at any time since the last transmission.
    pub(super) is_shared: bool,
    /// How often the connection closed while only this request was in flight.
    pub(super) losses_alone: u32,
}

/// Command of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Open,
    Send,
    Idle,
    Close,
}

impl Request {
    pub(super) fn new(command: Command, number: u64, body: Bytes) -> Self {
        Self {
            command,
            number,
            body,
            transmissions: 0,
            is_shared: false,
            losses_alone: 0,
        }
    }

    /// Returns whether the request is sent for the second time or later.
    pub(super) fn is_retry(&self) -> bool {
        self.transmissions > 1
    }

    /// Appends the request to `out`. Servers recognize tunnels by Flash Player's header fields.
    pub(super) fn encode(&self, host: &str, session_id: &str, out: &mut BytesMut) {
        let path = Path(self, session_id);
        let length = self.body.len();
        let _buffer_grows = fmt::Write::write_fmt(
            out,
            format_args!(
                "POST {path} HTTP/1.1\r\n\
                 Host: {host}\r\n\
                 User-Agent: Shockwave Flash\r\n\
                 Accept: */*\r\n\
                 Connection: Keep-Alive\r\n\
                 Cache-Control: no-cache\r\n\
                 Content-Type: application/x-fcs\r\n\
                 Content-Length: {length}\r\n\r\n"
            ),
        );
        out.extend_from_slice(&self.body);
        tracing::trace!("sent {path}, {length} bytes");
    }
}

/// Path of a request in the session with this id.
#[derive(Clone, Copy)]
struct Path<'a>(&'a Request, &'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Request { number, .. }, id) = self;
        match self.0.command {
            Command::Open => write!(f, "/open/{number}"),
            Command::Send => write!(f, "/send/{id}/{number}"),
            Command::Idle => write!(f, "/idle/{id}/{number}"),
            Command::Close => write!(f, "/close/{id}/{number}"),
        }
    }
}

/// Body of a request without data; servers reject empty bodies.
pub(super) const EMPTY_BODY: &[u8] = &[0];

/// Number of times that a connection may close while only one request is in flight. A server may
/// close an idle connection at the moment of the first request.
pub(super) const MAX_LOSSES_ALONE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_fields_of_flash_player() {
        let mut out = BytesMut::new();
        let request = Request::new(Command::Send, 7, Bytes::from_static(b"xyz"));
        request.encode("h:80", "ab", &mut out);
        let expected = "POST /send/ab/7 HTTP/1.1\r\nHost: h:80\r\nUser-Agent: Shockwave Flash\r\n\
            Accept: */*\r\nConnection: Keep-Alive\r\nCache-Control: no-cache\r\n\
            Content-Type: application/x-fcs\r\nContent-Length: 3\r\n\r\nxyz";
        assert_eq!(out, expected.as_bytes());
    }
}
