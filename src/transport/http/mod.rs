//! Fetch of a file from a web server, over any stream that the dialer opens.

pub(super) mod response;
#[cfg(test)]
mod tests;

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use flate2::write::GzDecoder;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use url::{Host, Position, Url};

pub use self::response::ResponseError;
use self::response::{Body, Head, MAX_HEAD, Status};
use super::{Carrier, DialError, DialFacts, Dialer, Endpoint, Route, Stream};

/// File from a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Content without any coding.
    pub bytes: Vec<u8>,
    /// Value of the Last-Modified field.
    pub last_modified: Option<String>,
}

/// Settings of a fetch.
#[derive(Debug, Clone, Copy)]
pub struct Fetcher<'a> {
    /// Dialer for all connections.
    pub dialer: &'a Dialer,
    /// Limit for each part of a response; `None` means no limit.
    pub timeout: Option<Duration>,
    /// Limit for the complete fetch; `None` means no limit.
    pub total_timeout: Option<Duration>,
    /// Largest accepted file in bytes, with and without its coding.
    pub max_bytes: usize,
}

/// Error of a fetch.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Dialing failed.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The URL is not an address of a web server.
    #[error("the URL is not an http or https address")]
    Address,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// The response is malformed.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// The connection ended inside the response.
    #[error("the response is cut off")]
    CutOff,
    /// The timeout for a part of the response or for the complete fetch expired.
    #[error("no complete answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The status of the response is neither success nor a redirect.
    #[error("the server answers {0}")]
    Status(String),
    /// The target of a redirect is missing or not a web address.
    #[error("the server redirects to an invalid address")]
    Redirect,
    /// The server redirected too often.
    #[error("redirected more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// The coding of the content is unknown, or the coded content is damaged.
    #[error("the content of the response cannot be decoded")]
    Coding,
    /// The file exceeds the limit, before or after decoding.
    #[error("the response has more than {} MiB", .0 >> 20)]
    TooLarge(usize),
}

impl Fetcher<'_> {
    /// Fetches the file at `url` and follows redirects.
    ///
    /// `last_modified` is the Last-Modified value of an earlier response. If the file has not changed
    /// since then, the result is `None`.
    pub async fn fetch(
        &self,
        url: &Url,
        last_modified: Option<&str>,
    ) -> Result<Option<File>, HttpError> {
        let fetch = self.follow_redirects(url, last_modified);
        within(self.total_timeout, fetch).await
    }

    async fn follow_redirects(
        &self,
        url: &Url,
        last_modified: Option<&str>,
    ) -> Result<Option<File>, HttpError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.get(&url, last_modified).await? {
                Answer::File(file) => return Ok(Some(file)),
                Answer::NotModified => return Ok(None),
                Answer::Redirect(next) => {
                    if url.scheme() == "https" && next.scheme() == "http" {
                        tracing::warn!("redirected from https to http, {next}");
                    } else {
                        tracing::debug!("redirected to {next}");
                    }
                    url = next;
                }
            }
        }
        Err(HttpError::TooManyRedirects)
    }

    async fn dial(&self, url: &Url) -> Result<Stream, HttpError> {
        let route = route(url)?;
        let mut facts = DialFacts::default();
        Ok(self.dialer.dial(&route, &mut facts).await?)
    }

    async fn get(&self, url: &Url, last_modified: Option<&str>) -> Result<Answer, HttpError> {
        let mut connection = Connection {
            stream: self.dial(url).await?,
            inbox: BytesMut::new(),
            timeout: self.timeout,
            received_bytes: 0,
            max_bytes: self.max_bytes,
        };
        connection.send(&request(url, last_modified)).await?;
        let head = connection.head().await?;
        tracing::debug!("{url} answers {}", head.status);
        match head.status.code {
            200 | 203 => {}
            301 | 302 | 303 | 307 | 308 => return redirect(url, &head.status),
            304 => return Ok(Answer::NotModified),
            _ => return Err(HttpError::Status(head.status.to_string())),
        }
        let mut decoder = Decoder::new(&head, self.max_bytes)?;
        let mut body = head.body;
        while let Some(content) = connection.content(&mut body).await? {
            decoder.write(&content)?;
        }
        Ok(Answer::File(File {
            bytes: decoder.finish()?,
            last_modified: head.last_modified,
        }))
    }
}

/// Returns whether a file can be fetched from `url`.
pub fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

#[derive(Debug)]
enum Answer {
    File(File),
    NotModified,
    Redirect(Url),
}

fn redirect(url: &Url, status: &Status) -> Result<Answer, HttpError> {
    let location = status.location.as_deref().ok_or(HttpError::Redirect)?;
    let next = url.join(location).map_err(|_| HttpError::Redirect)?;
    if is_web(&next) {
        Ok(Answer::Redirect(next))
    } else {
        Err(HttpError::Redirect)
    }
}

/// Connection that carries one request and its response.
struct Connection {
    stream: Stream,
    inbox: BytesMut,
    timeout: Option<Duration>,
    received_bytes: usize,
    max_bytes: usize,
}

impl Connection {
    async fn send(&mut self, request: &str) -> Result<(), HttpError> {
        let stream = &mut self.stream;
        let sent = within(self.timeout, async {
            let sent = async {
                stream.write_all(request.as_bytes()).await?;
                stream.flush().await
            };
            sent.await.map_err(HttpError::Broken)
        });
        match sent.await {
            // The server may have answered before it closed the connection.
            Err(HttpError::Broken(error)) => {
                tracing::debug!("cannot send the request: {error}");
                Ok(())
            }
            sent => sent,
        }
    }

    /// Reads the head of the final response.
    async fn head(&mut self) -> Result<Head, HttpError> {
        loop {
            match Head::take(&mut self.inbox)? {
                Some(head) if head.status.is_interim() => {}
                Some(head) => return Ok(head),
                None if self.read().await? == 0 => return Err(HttpError::CutOff),
                None => {}
            }
        }
    }

    /// Reads the next piece of content. Returns `None` at the end of `body`.
    async fn content(&mut self, body: &mut Body) -> Result<Option<BytesMut>, HttpError> {
        loop {
            body.skip_framing(&mut self.inbox)?;
            if *body == Body::Done {
                return Ok(None);
            }
            let left = usize::try_from(body.content_left()).unwrap_or(usize::MAX);
            let count = left.min(self.inbox.len());
            if count > 0 {
                body.consume(count as u64);
                return Ok(Some(self.inbox.split_to(count)));
            }
            if self.read().await? == 0 {
                return match body {
                    Body::UntilClose => Ok(None),
                    _ => Err(HttpError::CutOff),
                };
            }
        }
    }

    async fn read(&mut self) -> Result<usize, HttpError> {
        self.inbox.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.inbox);
        let read = within(self.timeout, async {
            read.await.map_err(|error| match error.kind() {
                // TLS without close_notify: the response may lack its end.
                ErrorKind::UnexpectedEof => HttpError::CutOff,
                _ => HttpError::Broken(error),
            })
        });
        let count = read.await?;
        // Heads and chunk framing count too, so that a server cannot send them endlessly.
        self.received_bytes = self.received_bytes.saturating_add(count);
        let max_bytes = self.max_bytes.saturating_mul(2).saturating_add(MAX_HEAD);
        if self.received_bytes > max_bytes {
            return Err(HttpError::TooLarge(self.max_bytes));
        }
        Ok(count)
    }
}

/// Builds the request. `User-Agent` and `Referer` are those of rtmpdump, because some servers reject
/// other clients.
fn request(url: &Url, last_modified: Option<&str>) -> String {
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let origin = &url[Position::BeforeHost..Position::BeforePath];
    let mut request = format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {origin}\r\n\
         User-Agent: Mozilla/5.0\r\n\
         Referer: {}://{origin}/\r\n\
         Accept: */*\r\n\
         Accept-Encoding: gzip\r\n\
         Connection: close\r\n",
        url.scheme()
    );
    if let Some(credentials) = credentials(url) {
        request += &format!("Authorization: {credentials}\r\n");
    }
    if let Some(date) = last_modified {
        request += &format!("If-Modified-Since: {date}\r\n");
    }
    request + "\r\n"
}

/// Returns the Basic credentials in the URL, for the server in the URL only.
fn credentials(url: &Url) -> Option<String> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut login: Vec<u8> = percent_decode_str(user).collect();
    login.push(b':');
    login.extend(percent_decode_str(password.unwrap_or_default()));
    Some(format!("Basic {}", BASE64_STANDARD.encode(login)))
}

fn route(url: &Url) -> Result<Route, HttpError> {
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(HttpError::Address),
    };
    let port = url.port_or_known_default().ok_or(HttpError::Address)?;
    let carrier = match url.scheme() {
        "http" => Carrier::Tcp,
        "https" => Carrier::Tls,
        _ => return Err(HttpError::Address),
    };
    Ok(Route {
        endpoint: Endpoint { host, port },
        carrier,
    })
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    match limit {
        Some(limit) => timeout(limit, work)
            .await
            .unwrap_or(Err(HttpError::TimedOut(limit))),
        None => work.await,
    }
}

/// Decoder of the content coding, which collects the file.
struct Decoder {
    coding: Coding,
    /// Number of bytes that may still be written.
    coded_bytes_left: usize,
}

enum Coding {
    Identity(Limited),
    Gzip(Box<GzDecoder<Limited>>),
}

impl Decoder {
    fn new(head: &Head, max_bytes: usize) -> Result<Self, HttpError> {
        if matches!(head.body, Body::Length(length) if length > max_bytes as u64) {
            return Err(HttpError::TooLarge(max_bytes));
        }
        let limited = Limited {
            bytes: Vec::new(),
            max_bytes,
            is_full: false,
        };
        let coding = match &head.codings[..] {
            [] => Coding::Identity(limited),
            [gzip] if gzip == "gzip" || gzip == "x-gzip" => {
                Coding::Gzip(Box::new(GzDecoder::new(limited)))
            }
            _ => return Err(HttpError::Coding),
        };
        Ok(Self {
            coding,
            coded_bytes_left: max_bytes,
        })
    }

    fn write(&mut self, content: &[u8]) -> Result<(), HttpError> {
        let (written, limited) = match &mut self.coding {
            Coding::Identity(limited) => (limited.write_all(content), limited),
            Coding::Gzip(gzip) => (gzip.write_all(content), gzip.get_mut()),
        };
        // Bytes after the first gzip member are ignored, as in browsers: decoding millions of empty
        // members would take minutes.
        let is_after_member = |error: &io::Error| error.kind() == ErrorKind::WriteZero;
        if written.is_err_and(|error| !is_after_member(&error)) {
            return Err(limited.error());
        }
        let left = self.coded_bytes_left.checked_sub(content.len());
        self.coded_bytes_left = left.ok_or(HttpError::TooLarge(limited.max_bytes))?;
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, HttpError> {
        match self.coding {
            Coding::Identity(limited) => Ok(limited.bytes),
            Coding::Gzip(mut gzip) => match gzip.try_finish() {
                Ok(()) => Ok(std::mem::take(&mut gzip.get_mut().bytes)),
                Err(_) => Err(gzip.get_ref().error()),
            },
        }
    }
}

/// Byte buffer with a limit.
struct Limited {
    bytes: Vec<u8>,
    max_bytes: usize,
    is_full: bool,
}

impl Limited {
    /// Cause of a failed write: the limit, or otherwise the decoder.
    fn error(&self) -> HttpError {
        if self.is_full {
            HttpError::TooLarge(self.max_bytes)
        } else {
            HttpError::Coding
        }
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max_bytes.saturating_sub(self.bytes.len()) {
            self.is_full = true;
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Largest number of redirects for one file.
const MAX_REDIRECTS: usize = 10;

/// Bytes per read.
const READ_BYTES: usize = 16 * 1024;
