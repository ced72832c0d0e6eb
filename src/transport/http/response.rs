//! Reader of HTTP/1.1 responses (RFC 9112), used by the file fetch, the tunnel and CONNECT proxies.
//!
//! It does no I/O: [`Head::take`] and [`Body::skip_framing`] consume bytes from the front of an inbox.

use std::{fmt, str};

use bytes::{Buf, BytesMut};
use thiserror::Error;

/// Head of a response: the status line and the header fields that rtmpull uses.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) struct Head {
    pub(in crate::transport) status: Status,
    pub(in crate::transport) body: Body,
    /// Whether the server closes the connection after this response.
    pub(in crate::transport) is_last: bool,
    pub(in crate::transport) is_html: bool,
    pub(in crate::transport) last_modified: Option<String>,
    /// Minor version of HTTP/1.
    pub(in crate::transport) minor_version: u8,
    /// Server field, not escaped.
    pub(in crate::transport) server: Option<String>,
    /// Content and transfer codings in lower case, without `identity` and a final `chunked`.
    pub(in crate::transport) codings: Vec<String>,
}

/// Status line of a response, with the target of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transport) struct Status {
    pub(in crate::transport) code: u16,
    /// Reason phrase of the server, not escaped.
    reason: String,
    /// Location field of a redirect, not escaped.
    pub(in crate::transport) location: Option<String>,
}

/// Error in the head or the framing of a response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// The bytes are not an HTTP/1 response.
    #[error("the server does not speak HTTP")]
    NotHttp,
    /// The bytes are text without an HTTP version, as in SSH or SMTP. Holds the first printable characters.
    #[error("the server answers in text (`{0}`), not HTTP")]
    Text(String),
    /// The head has more than 16 KiB or 100 fields.
    #[error("the head of the server's HTTP response is too long")]
    HeadTooLong,
    /// The length of the body is ambiguous or malformed.
    #[error("the length of the server's HTTP response is invalid")]
    Framing,
}

impl Status {
    pub(in crate::transport) fn is_interim(&self) -> bool {
        (100..200).contains(&self.code)
    }

    pub(in crate::transport) fn is_success(&self) -> bool {
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
            Some(location) => write!(f, ", to {}", shorten(location.as_bytes())),
            None => Ok(()),
        }
    }
}

impl Head {
    /// Removes a head from the front of `inbox`. Returns `None` if it is incomplete.
    pub(in crate::transport) fn take(inbox: &mut BytesMut) -> Result<Option<Self>, ResponseError> {
        let head = Self::parse(inbox)?;
        Ok(head.map(|(head, length)| {
            inbox.advance(length);
            head
        }))
    }

    /// Parses a head at the start of `bytes`, and returns its length too. Returns `None` if it is
    /// incomplete.
    pub(in crate::transport) fn parse(
        bytes: &[u8],
    ) -> Result<Option<(Self, usize)>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = httparse::ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .parse_response(&mut response, bytes);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::HeadTooLong),
            Err(httparse::Error::Version) => return Err(not_http(bytes)),
            Err(_) => return Err(ResponseError::NotHttp),
        };
        Ok(Some((Self::from_response(&response)?, length)))
    }

    fn from_response(response: &httparse::Response<'_, '_>) -> Result<Self, ResponseError> {
        let code = response.code.unwrap_or_default();
        let mut head = Self {
            status: Status {
                code,
                reason: shorten(response.reason.unwrap_or_default().as_bytes()),
                location: None,
            },
            body: Body::UntilClose,
            is_last: response.version == Some(0),
            is_html: false,
            last_modified: None,
            minor_version: response.version.unwrap_or_default(),
            server: None,
            codings: Vec::new(),
        };
        let mut length = None;
        let mut is_chunked = None;
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Content-Length") {
                let announced = content_length(header.value)?;
                // RFC 9112 6.3: different values are an unrecoverable error.
                if length.is_some_and(|length| length != announced) {
                    return Err(ResponseError::Framing);
                }
                length = Some(announced);
            } else if is("Transfer-Encoding") {
                head.codings.extend(codings(header.value));
                is_chunked = Some(head.codings.pop_if(|last| last == "chunked").is_some());
            } else if is("Connection") {
                // RFC 9112 9.3: "close" takes precedence, and HTTP/1.0 persists only with "keep-alive".
                head.is_last = match () {
                    () if contains_token(header.value, "close") => true,
                    () if contains_token(header.value, "keep-alive") => false,
                    () => head.is_last,
                };
            } else if is("Content-Type") {
                let html = header.value.get(..9);
                head.is_html = html.is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
            } else if is("Location") && (300..400).contains(&code) {
                head.status.location = text(header.value);
            } else if is("Last-Modified") {
                head.last_modified = text(header.value);
            } else if is("Server") {
                head.server = Some(shorten(header.value));
            } else if is("Content-Encoding") {
                head.codings.extend(codings(header.value));
            }
        }
        // RFC 9112 6.3: a transfer coding overrides Content-Length, and if its last coding is not
        // chunked, the body ends with the connection.
        head.body = match (code, is_chunked, length) {
            (100..200 | 204 | 304, ..) => Body::Length(0),
            (_, Some(true), _) => Body::ChunkSize,
            (_, None, Some(length)) => Body::Length(length),
            (_, Some(false), _) | (_, None, None) => Body::UntilClose,
        };
        head.is_last |= head.body == Body::UntilClose;
        Ok(head)
    }
}

fn content_length(value: &[u8]) -> Result<u64, ResponseError> {
    let text = str::from_utf8(value.trim_ascii()).unwrap_or_default();
    // `parse` also accepts a plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let length = text.parse().ok().filter(|_| is_number);
    length.ok_or(ResponseError::Framing)
}

/// Returns whether a comma-separated list contains `token`.
fn contains_token(list: &[u8], token: &str) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Splits a list of codings, without `identity`.
fn codings(list: &[u8]) -> impl Iterator<Item = String> {
    list.split(|&byte| byte == b',')
        .map(|coding| String::from_utf8_lossy(coding.trim_ascii()).to_ascii_lowercase())
        .filter(|coding| !matches!(coding.as_str(), "" | "identity"))
}

/// Returns the value of a field if it is UTF-8.
fn text(value: &[u8]) -> Option<String> {
    str::from_utf8(value).ok().map(str::to_owned)
}

/// Returns the error for bytes that do not start with an HTTP version.
fn not_http(bytes: &[u8]) -> ResponseError {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~');
    let end = bytes.iter().position(|byte| !is_printable(byte));
    let printable = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    if printable.len() < MIN_QUOTED {
        return ResponseError::NotHttp;
    }
    let quoted = printable.get(..MAX_QUOTED).unwrap_or(printable);
    let mark = if quoted.len() < printable.len() {
        "…"
    } else {
        ""
    };
    ResponseError::Text(format!("{}{mark}", String::from_utf8_lossy(quoted)))
}

/// Returns the start of a text of the server, short enough for a message.
pub(in crate::transport) fn shorten(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Position in the body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Body {
    /// Remaining bytes of a body with a Content-Length.
    Length(u64),
    /// Before the line with the size of a chunk.
    ChunkSize,
    /// Remaining bytes of a chunk.
    Chunk(u64),
    /// Before the line end after the data of a chunk.
    ChunkEnd,
    /// After the last chunk; the number is the limit for the remaining trailer bytes.
    Trailer(usize),
    /// All bytes until the connection closes.
    UntilClose,
    /// The body is complete.
    Done,
}

impl Body {
    /// Removes chunk framing from the front of `inbox`.
    ///
    /// Returns when content follows, the body is complete, or more bytes are needed.
    pub(in crate::transport) fn skip_framing(
        &mut self,
        inbox: &mut BytesMut,
    ) -> Result<(), ResponseError> {
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
                    Some(_) => return Err(ResponseError::Framing),
                    None => return Ok(()),
                },
                Self::Trailer(left) => match take_line(inbox, left)? {
                    Some(line) if line.is_empty() => Self::Done,
                    Some(line) => Self::Trailer(left.saturating_sub(line.len()).saturating_sub(1)),
                    None => return Ok(()),
                },
                Self::Length(_) | Self::Chunk(_) | Self::UntilClose | Self::Done => return Ok(()),
            };
        }
    }

    /// Number of content bytes up to the next framing.
    pub(in crate::transport) fn content_left(self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunk(left) => left,
            Self::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// Counts content bytes that the caller removed from the inbox.
    pub(in crate::transport) fn consume(&mut self, count: u64) {
        if let Self::Length(left) | Self::Chunk(left) = self {
            *left = left.saturating_sub(count);
        }
    }
}

/// Removes a line and returns it without its end, which may be a bare LF.
fn take_line(inbox: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, ResponseError> {
    let Some(length) = inbox.iter().position(|&byte| byte == b'\n') else {
        return if inbox.len() > limit {
            Err(ResponseError::Framing)
        } else {
            Ok(None)
        };
    };
    if length > limit {
        return Err(ResponseError::Framing);
    }
    let mut line = inbox.split_to(length);
    inbox.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(length.saturating_sub(1));
    }
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<u64, ResponseError> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let text = str::from_utf8(digits.trim_ascii()).unwrap_or_default();
    // `from_str_radix` also accepts a plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = u64::from_str_radix(text, 16).ok();
    size.filter(|_| is_number).ok_or(ResponseError::Framing)
}

/// Largest head in bytes. Node.js and many proxies have the same limit.
pub(in crate::transport) const MAX_HEAD: usize = 16 * 1024;

/// Largest number of fields in a head, as in servers for requests.
const MAX_HEADERS: usize = 100;

/// Longest line with a chunk size and its extensions, which no known server sends.
const MAX_CHUNK_LINE: usize = 256;

/// Number of printable characters that binary data rarely starts with.
const MIN_QUOTED: usize = 4;

/// Number of characters of an answer in another protocol in messages.
const MAX_QUOTED: usize = 60;

/// Number of characters of a reason, a location or a name in messages.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<Head>, ResponseError> {
        Head::take(&mut text.into())
    }

    fn body(text: &str) -> Body {
        taken(text).unwrap().unwrap().body
    }

    #[test]
    fn field_names_are_case_insensitive() {
        for name in ["Content-Length", "content-length", "CONTENT-LENGTH"] {
            let head = format!("HTTP/1.1 200 OK\r\n{name}: 12\r\n\r\n");
            assert_eq!(body(&head), Body::Length(12));
        }
    }

    #[test]
    fn long_text_of_the_server_is_shortened_in_messages() {
        let shown = |head: &str| taken(head).unwrap().unwrap().status.to_string();
        let refused = format!("HTTP/1.1 403 {}\r\n\r\n", "x".repeat(5_000));
        let start = "x".repeat(MAX_SHOWN);
        assert_eq!(shown(&refused), format!("403 {start}…"));
        let (long, start) = ("é".repeat(5_000), "é".repeat(MAX_SHOWN));
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: {long}\r\n\r\n");
        assert_eq!(shown(&moved), format!("302 Found, to {start}…"));
        assert_eq!(shown("HTTP/1.1 403 No\r\n\r\n"), "403 No");
    }

    #[test]
    fn an_incomplete_head_stays_in_the_inbox() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(taken(&head[..cut]), Ok(None));
        }
        let mut inbox = BytesMut::from(format!("{head}abc").as_str());
        assert!(Head::take(&mut inbox).unwrap().is_some());
        assert_eq!(inbox, b"abc"[..]);
    }

    #[test]
    fn version_and_connection_field_decide_whether_the_connection_ends() {
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
    fn the_head_determines_the_framing_of_the_body() {
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\n"), Body::UntilClose);
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n"), Body::Length(0));
        assert_eq!(body("HTTP/1.1 100 Continue\r\n\r\n"), Body::Length(0));
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(body(both), Body::ChunkSize);
        let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(body(twice), Body::Length(3));
        let coded = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\n";
        assert_eq!(body(coded), Body::UntilClose);
    }

    #[test]
    fn invalid_lengths_are_errors() {
        for lines in [
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(taken(&head), Err(ResponseError::Framing), "{lines:?}");
        }
    }

    #[test]
    fn endless_heads_and_other_protocols_are_errors() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MAX_HEAD));
        assert_eq!(taken(&long), Err(ResponseError::HeadTooLong));
        let lines = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(taken(&lines), Err(ResponseError::HeadTooLong));
        assert_eq!(taken("\x03\0\0\0\0"), Err(ResponseError::NotHttp));
        let text = |text: &str| Err(ResponseError::Text(text.to_owned()));
        assert_eq!(taken("SSH-2.0-OpenSSH\r\n"), text("SSH-2.0-OpenSSH"));
        assert_eq!(taken("HTTP/1.1400 x\r\n"), text("HTTP/1.1400 x"));
        let long = "x".repeat(100);
        assert_eq!(taken(&long), text(&format!("{}…", &long[..60])));
        assert_eq!(taken("SSH\0\0"), Err(ResponseError::NotHttp));
        let no_field = "HTTP/1.1 200 OK\r\n\x01\r\n\r\n";
        assert_eq!(taken(no_field), Err(ResponseError::NotHttp));
    }

    #[test]
    fn a_status_is_printed_with_reason_and_location() {
        let status = |text: &str| taken(text).unwrap().unwrap().status.to_string();
        assert_eq!(status("HTTP/1.1 404 Not Found\r\n\r\n"), "404 Not Found");
        assert_eq!(status("HTTP/1.1 500\r\n\r\n"), "500");
        assert_eq!(
            status("HTTP/1.1 302 Found\r\nlocation: http://h/\r\n\r\n"),
            "302 Found, to http://h/"
        );
    }

    /// Returns the content of a body that arrives in pieces of `piece` bytes, and the final state.
    fn content(
        mut body: Body,
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, Body), ResponseError> {
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
                body.consume(count as u64);
            }
        }
        Ok((content, body))
    }

    #[test]
    fn chunks_cut_anywhere_are_joined() {
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
    fn malformed_chunks_are_errors() {
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
            assert_eq!(read, Err(ResponseError::Framing), "{bytes:.20}");
        }
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX_HEAD));
        let read = content(Body::ChunkSize, trailers.as_bytes(), 64);
        assert_eq!(read, Err(ResponseError::Framing));
    }
}
