//! As much of HTTP/1.1 as a tunnel needs: requests with a body, and the answers to them.

use std::{fmt, str};

use bytes::{Buf, BytesMut};

use super::Error;

/// Appends a request. The headers are the ones that Flash Player sends: servers know tunnels by them.
pub(super) fn put_request(out: &mut BytesMut, host: &str, path: impl fmt::Display, body: &[u8]) {
    let length = body.len();
    let _there_is_always_room = fmt::Write::write_fmt(
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
    out.extend_from_slice(body);
}

/// What stands before the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: Status,
    pub(super) body: Body,
    /// Whether the connection ends with this answer.
    pub(super) is_last: bool,
    pub(super) is_html: bool,
}

/// The status line's, and where it sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u16,
    /// The server's own words. Not escaped.
    reason: String,
    location: Option<String>,
}

impl Status {
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.code)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        match &self.location {
            Some(location) => write!(f, ", to {location}"),
            None => Ok(()),
        }
    }
}

impl Head {
    /// Takes a head off the front of `inbox`, where all of it is there.
    pub(super) fn take(inbox: &mut BytesMut) -> Result<Option<Self>, Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = httparse::ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .parse_response(&mut response, inbox);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if inbox.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Error::LongHead),
            Err(_) => return Err(Error::NoHttp),
        };
        let head = Self::of(&response)?;
        inbox.advance(length);
        Ok(Some(head))
    }

    fn of(response: &httparse::Response<'_, '_>) -> Result<Self, Error> {
        let code = response.code.unwrap_or_default();
        let mut head = Self {
            status: Status {
                code,
                reason: brief(response.reason.unwrap_or_default().as_bytes()),
                location: None,
            },
            body: Body::UntilClose,
            is_last: response.version == Some(0),
            is_html: false,
        };
        let mut length = None;
        let mut is_chunked = false;
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Content-Length") {
                let announced = content_length(header.value)?;
                // RFC 9112, 6.3: several that differ are an error that cannot be recovered from.
                if length.is_some_and(|length| length != announced) {
                    return Err(Error::Framing);
                }
                length = Some(announced);
            } else if is("Transfer-Encoding") {
                if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Error::Framing);
                }
                is_chunked = true;
            } else if is("Connection") {
                head.is_last = match () {
                    () if names(header.value, "close") => true,
                    () if names(header.value, "keep-alive") => false,
                    () => head.is_last,
                };
            } else if is("Content-Type") {
                let html = header.value.get(..9);
                head.is_html = html.is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
            } else if is("Location") && (300..400).contains(&code) {
                head.status.location = Some(brief(header.value));
            }
        }
        head.body = match (code, is_chunked, length) {
            (100..200 | 204 | 304, ..) => Body::Length(0),
            (_, true, _) => Body::ChunkSize,
            (_, false, Some(length)) => Body::Length(length),
            (_, false, None) => Body::UntilClose,
        };
        head.is_last |= head.body == Body::UntilClose;
        Ok(head)
    }
}

fn content_length(value: &[u8]) -> Result<u64, Error> {
    let text = str::from_utf8(value.trim_ascii()).unwrap_or_default();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let length = text.parse().ok().filter(|_| is_number);
    length.ok_or(Error::Framing)
}

/// Whether a list of tokens has `token` in it.
fn names(list: &[u8], token: &str) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// As much of a server's words as fits into a line.
fn brief(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim().chars().take(MAX_WORDS).collect()
}

/// Where in a body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    /// The line with a chunk's size comes next.
    ChunkSize,
    /// So many bytes are left of a chunk.
    Chunk(u64),
    /// The end of a chunk's line comes next.
    ChunkEnd,
    /// A line behind the last chunk comes next; so many bytes of such lines may come.
    Trailer(usize),
    /// All that comes belongs to it.
    UntilClose,
    /// It is whole.
    Done,
}

impl Body {
    /// Takes what is no content off the front of `inbox`, until content comes next, or nothing, or
    /// more bytes are needed.
    pub(super) fn skip_framing(&mut self, inbox: &mut BytesMut) -> Result<(), Error> {
        loop {
            *self = match *self {
                Self::Length(0) => Self::Done,
                Self::Chunk(0) => Self::ChunkEnd,
                Self::ChunkSize => match take_line(inbox, MAX_CHUNK_LINE)? {
                    Some(line) => match chunk_size(&line)? {
                        0 => Self::Trailer(MAX_HEAD),
                        size => Self::Chunk(size),
                    },
                    None => return Ok(()),
                },
                Self::ChunkEnd => match take_line(inbox, MAX_CHUNK_LINE)? {
                    Some(line) if line.is_empty() => Self::ChunkSize,
                    Some(_) => return Err(Error::Framing),
                    None => return Ok(()),
                },
                Self::Trailer(left) => match take_line(inbox, left)? {
                    Some(line) if line.is_empty() => Self::Done,
                    Some(line) => Self::Trailer(left.saturating_sub(line.len() + 1)),
                    None => return Ok(()),
                },
                Self::Length(_) | Self::Chunk(_) | Self::UntilClose | Self::Done => return Ok(()),
            };
        }
    }

    /// How many bytes of content come next.
    pub(super) fn content_left(self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunk(left) => left,
            Self::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// So many of them have been taken.
    pub(super) fn took(&mut self, count: u64) {
        if let Self::Length(left) | Self::Chunk(left) = self {
            *left = left.saturating_sub(count);
        }
    }
}

/// A line without its end, which may be a bare LF.
fn take_line(inbox: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, Error> {
    let Some(length) = inbox.iter().position(|&byte| byte == b'\n') else {
        return if inbox.len() > limit {
            Err(Error::Framing)
        } else {
            Ok(None)
        };
    };
    if length > limit {
        return Err(Error::Framing);
    }
    let mut line = inbox.split_to(length);
    inbox.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(length - 1);
    }
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<u64, Error> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let text = str::from_utf8(digits.trim_ascii()).unwrap_or_default();
    let is_number = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = u64::from_str_radix(text, 16).ok();
    size.filter(|_| is_number).ok_or(Error::Framing)
}

/// A head that is longer is none: proxies and servers add a few lines each.
const MAX_HEAD: usize = 16 * 1024;

/// Lines in a head.
const MAX_HEADERS: usize = 64;

/// What stands before a chunk: a number, and extensions that nobody uses.
const MAX_CHUNK_LINE: usize = 256;

/// How much of a reason or an address is told.
const MAX_WORDS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<Head>, Error> {
        Head::take(&mut text.into())
    }

    fn body(text: &str) -> Body {
        taken(text).unwrap().unwrap().body
    }

    #[test]
    fn a_request_is_what_flash_player_sends() {
        let mut out = BytesMut::new();
        put_request(
            &mut out,
            "h:80",
            format_args!("/send/{}/{}", "ab", 7),
            b"xyz",
        );
        let expected = "POST /send/ab/7 HTTP/1.1\r\nHost: h:80\r\nUser-Agent: Shockwave Flash\r\n\
            Accept: */*\r\nConnection: Keep-Alive\r\nCache-Control: no-cache\r\n\
            Content-Type: application/x-fcs\r\nContent-Length: 3\r\n\r\nxyz";
        assert_eq!(out, expected.as_bytes());
    }

    #[test]
    fn names_of_headers_come_in_any_case() {
        for name in ["Content-Length", "content-length", "CONTENT-LENGTH"] {
            let head = format!("HTTP/1.1 200 OK\r\n{name}: 12\r\n\r\n");
            assert_eq!(body(&head), Body::Length(12));
        }
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(taken(&head[..cut]), Ok(None));
        }
        let mut inbox = BytesMut::from(format!("{head}abc").as_str());
        assert!(Head::take(&mut inbox).unwrap().is_some());
        assert_eq!(inbox, b"abc"[..]);
    }

    #[test]
    fn what_ends_a_connection() {
        let is_last = |text: &str| taken(text).unwrap().unwrap().is_last;
        let length = "Content-Length: 1\r\n";
        assert!(!is_last(&format!("HTTP/1.1 200 OK\r\n{length}\r\n")));
        assert!(is_last(&format!("HTTP/1.0 200 OK\r\n{length}\r\n")));
        assert!(!is_last(&format!(
            "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n{length}\r\n"
        )));
        assert!(is_last(&format!(
            "HTTP/1.1 200 OK\r\nCONNECTION: x, Close\r\n{length}\r\n"
        )));
        assert!(is_last("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn how_a_body_is_announced() {
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\n"), Body::UntilClose);
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n"), Body::Length(0));
        assert_eq!(body("HTTP/1.1 100 Continue\r\n\r\n"), Body::Length(0));
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(body(both), Body::ChunkSize);
        let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(body(twice), Body::Length(3));
    }

    #[test]
    fn announcements_that_make_no_sense_are_errors() {
        for lines in [
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(taken(&head), Err(Error::Framing), "{lines:?}");
        }
    }

    #[test]
    fn heads_without_end_and_what_is_no_http_are_errors() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MAX_HEAD));
        assert_eq!(taken(&long), Err(Error::LongHead));
        let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(100));
        assert_eq!(taken(&lines), Err(Error::LongHead));
        assert_eq!(taken("\x03\0\0\0\0"), Err(Error::NoHttp));
        assert_eq!(taken("SSH-2.0-OpenSSH"), Err(Error::NoHttp));
    }

    #[test]
    fn a_status_is_told_with_its_words() {
        let told = |text: &str| taken(text).unwrap().unwrap().status.to_string();
        assert_eq!(told("HTTP/1.1 404 Not Found\r\n\r\n"), "404 Not Found");
        assert_eq!(told("HTTP/1.1 500\r\n\r\n"), "500");
        assert_eq!(
            told("HTTP/1.1 302 Found\r\nlocation: http://h/\r\n\r\n"),
            "302 Found, to http://h/"
        );
    }

    /// The content, read in pieces of `piece` bytes, and the state at the end.
    fn content(mut body: Body, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Body), Error> {
        let mut content = Vec::new();
        let mut inbox = BytesMut::new();
        for piece in bytes.chunks(piece) {
            inbox.extend_from_slice(piece);
            loop {
                body.skip_framing(&mut inbox)?;
                let count = inbox.len().min(body.content_left() as usize);
                if count == 0 {
                    break;
                }
                content.extend_from_slice(&inbox.split_to(count));
                body.took(count as u64);
            }
        }
        Ok((content, body))
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let bytes = b"3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in 1..bytes.len() {
            let expected = (b"abc0123456789".to_vec(), Body::Done);
            assert_eq!(content(Body::ChunkSize, bytes, piece), Ok(expected));
        }
        for cut in 0..bytes.len() {
            let (_, state) = content(Body::ChunkSize, &bytes[..cut], 1).unwrap();
            assert_ne!(state, Body::Done, "cut at {cut}");
        }
    }

    #[test]
    fn chunks_that_make_no_sense_are_errors() {
        let endless = "x".repeat(MAX_HEAD + 2);
        for bytes in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "10000000000000000\r\n",
            "1\r\nab\r\n",
            &endless,
            &format!("0\r\n{endless}"),
        ] {
            let read = content(Body::ChunkSize, bytes.as_bytes(), 7);
            assert_eq!(read, Err(Error::Framing), "{bytes:.20}");
        }
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX_HEAD));
        let read = content(Body::ChunkSize, trailers.as_bytes(), 64);
        assert_eq!(read, Err(Error::Framing));
    }
}
