//! Files from web servers: HTTP/1.1 (RFC 9112) through whatever pipe the dialer makes.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    io::{self, ErrorKind, Write},
    pin::pin,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderMap, HeaderName},
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::time::timeout;
use url::{Host, Position, Url};

use super::{Carrier, DialError, Dialer, Endpoint, Route};

/// A file on a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes, without whatever coding they came in.
    pub bytes: Vec<u8>,
    /// When it was changed last, in the server's words.
    pub last_modified: Option<String>,
}

/// How files are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Fetcher<'a> {
    /// How connections are made.
    pub dialer: &'a Dialer,
    /// How long each part of an answer is waited for; `None` waits for ever.
    pub patience: Option<Duration>,
    /// The largest file that is taken.
    pub max_bytes: usize,
}

/// Why there is no file.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection came about.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// This is no address of a web server.
    #[error("the address is not one of the web")]
    Address,
    /// The connection broke, or what came was no HTTP.
    #[error("{0}")]
    Broken(String),
    /// Less came than was promised.
    #[error("the answer is cut off")]
    CutOff,
    /// The server is too slow.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The server has something else to say.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// A redirect that leads nowhere.
    #[error("the server redirects to no address of the web")]
    Redirect,
    /// Redirects without end.
    #[error("redirected more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// A coding that nobody asked for, or one that cannot be undone.
    #[error("the answer's coding cannot be undone")]
    Coding,
    /// Larger than is taken, with or without its coding.
    #[error("the answer has more than {} MiB", .0 >> 20)]
    TooLarge(usize),
}

impl Fetcher<'_> {
    /// Fetches the file at `url`, wherever redirects lead; `None` where the server says that it has not
    /// changed since `last_modified`.
    pub async fn fetch(
        &self,
        url: &Url,
        last_modified: Option<&str>,
    ) -> Result<Option<File>, HttpError> {
        let fetched = self.follow(url, last_modified);
        match self.patience {
            Some(patience) => within(Some(patience.max(WHOLE_PATIENCE)), fetched).await,
            None => fetched.await,
        }
    }

    async fn follow(
        &self,
        url: &Url,
        last_modified: Option<&str>,
    ) -> Result<Option<File>, HttpError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url, last_modified).await? {
                Answer::File(file) => return Ok(Some(file)),
                Answer::Unchanged => return Ok(None),
                Answer::Elsewhere(next) => {
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

    async fn ask(&self, url: &Url, last_modified: Option<&str>) -> Result<Answer, HttpError> {
        let request = request(url, last_modified)?;
        let pipe = self.dialer.dial(&route(url)?).await?;
        let (mut requests, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .handshake(TokioIo::new(pipe))
            .await
            .map_err(|error| broken(&error))?;
        let mut exchange = pin!(async {
            let response = requests.send_request(request);
            let response = within(self.patience, async {
                response.await.map_err(|error| broken(&error))
            });
            self.read(url, response.await?).await
        });
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // What went wrong with it is told to the exchange, and what had come is still to be read.
            _ = connection => exchange.await,
        }
    }

    async fn read(&self, url: &Url, response: Response<Incoming>) -> Result<Answer, HttpError> {
        let (head, mut body) = response.into_parts();
        tracing::debug!("{url} answers {}", head.status);
        let text = |name| head.headers.get(name).and_then(|text| text.to_str().ok());
        match head.status.as_u16() {
            200 | 203 => {}
            301 | 302 | 303 | 307 | 308 => {
                let location = text(header::LOCATION).ok_or(HttpError::Redirect)?;
                let next = url.join(location).map_err(|_| HttpError::Redirect)?;
                return match is_web(&next) {
                    true => Ok(Answer::Elsewhere(next)),
                    false => Err(HttpError::Redirect),
                };
            }
            304 => return Ok(Answer::Unchanged),
            _ => return Err(HttpError::Status(head.status)),
        }
        let mut sink = Sink::new(&head.headers, self.max_bytes)?;
        let frame = async |body: &mut Incoming| {
            let frame = body.frame().await.transpose();
            frame.map_err(|error| broken(&error))
        };
        while let Some(frame) = within(self.patience, frame(&mut body)).await? {
            if let Some(data) = frame.data_ref() {
                sink.take(data)?;
            }
        }
        Ok(Answer::File(File {
            bytes: sink.finish()?,
            last_modified: text(header::LAST_MODIFIED).map(str::to_owned),
        }))
    }
}

/// Whether this is an address that files can be fetched from.
pub fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

#[derive(Debug)]
enum Answer {
    File(File),
    Unchanged,
    Elsewhere(Url),
}

/// What rtmpdump says of itself, since servers that keep others out let it in; and whatever a
/// correct client says beyond that.
fn request(url: &Url, last_modified: Option<&str>) -> Result<Request<Empty<Bytes>>, HttpError> {
    let origin = &url[Position::BeforeHost..Position::BeforePath];
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, origin)
        .header(header::USER_AGENT, "Mozilla/5.0")
        .header(header::REFERER, format!("{}://{origin}/", url.scheme()))
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::CONNECTION, "close");
    if let Some(login) = login(url) {
        request = request.header(header::AUTHORIZATION, login);
    }
    if let Some(date) = last_modified {
        request = request.header(header::IF_MODIFIED_SINCE, date);
    }
    request.body(Empty::new()).map_err(|_| HttpError::Address)
}

/// Who the URL says that we are, for the server that it names.
fn login(url: &Url) -> Option<String> {
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
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    match patience {
        Some(patience) => timeout(patience, work)
            .await
            .unwrap_or(Err(HttpError::TimedOut(patience))),
        None => work.await,
    }
}

fn broken(error: &hyper::Error) -> HttpError {
    let source = error.source();
    if let Some(error) = source.and_then(|source| source.downcast_ref::<hyper::Error>()) {
        return broken(error);
    }
    let cause = source.and_then(|source| source.downcast_ref::<io::Error>());
    let is_cut = cause.is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof);
    match cause {
        _ if error.is_incomplete_message() || is_cut => HttpError::CutOff,
        Some(cause) => HttpError::Broken(format!("the connection broke: {cause}")),
        None if error.is_parse() => {
            HttpError::Broken(format!("the server does not speak HTTP: {error}"))
        }
        None => HttpError::Broken(error.to_string()),
    }
}

/// Where the bytes of an answer gather, without their coding.
enum Sink {
    Plain(Limited),
    Gzip(Box<MultiGzDecoder<Limited>>),
}

impl Sink {
    fn new(headers: &HeaderMap, max_bytes: usize) -> Result<Self, HttpError> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > max_bytes as u64) {
            return Err(HttpError::TooLarge(max_bytes));
        }
        let limited = Limited {
            bytes: Vec::new(),
            max_bytes,
            is_full: false,
        };
        match &codings(headers)[..] {
            [] => Ok(Self::Plain(limited)),
            [gzip] if gzip == "gzip" || gzip == "x-gzip" => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(limited))))
            }
            _ => Err(HttpError::Coding),
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), HttpError> {
        let (taken, limited) = match self {
            Self::Plain(limited) => (limited.write_all(data), limited),
            Self::Gzip(gzip) => (gzip.write_all(data), gzip.get_mut()),
        };
        taken.map_err(|_| limited.refusal())
    }

    fn finish(self) -> Result<Vec<u8>, HttpError> {
        match self {
            Self::Plain(limited) => Ok(limited.bytes),
            Self::Gzip(mut gzip) => match gzip.try_finish() {
                Ok(()) => Ok(std::mem::take(&mut gzip.get_mut().bytes)),
                Err(_) if gzip.get_ref().is_full => Err(gzip.get_ref().refusal()),
                Err(_) => Err(HttpError::Coding),
            },
        }
    }
}

/// The codings on the file, and on the message beyond `chunked`, which is undone by then.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let named = |name: HeaderName| {
        let lists = headers.get_all(name).into_iter();
        lists.filter_map(|list| list.to_str().ok().map(str::to_owned))
    };
    named(header::CONTENT_ENCODING)
        .chain(named(header::TRANSFER_ENCODING))
        .flat_map(|list| {
            let codings = list
                .split(',')
                .map(|coding| coding.trim().to_ascii_lowercase());
            codings.collect::<Vec<_>>()
        })
        .filter(|coding| !["", "identity", "chunked"].contains(&&coding[..]))
        .collect()
}

/// Bytes up to a limit.
struct Limited {
    bytes: Vec<u8>,
    max_bytes: usize,
    is_full: bool,
}

impl Limited {
    /// Why no more is taken.
    fn refusal(&self) -> HttpError {
        match self.is_full {
            true => HttpError::TooLarge(self.max_bytes),
            false => HttpError::Coding,
        }
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max_bytes - self.bytes.len() {
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

/// Redirects that are followed for one file.
const MAX_REDIRECTS: usize = 10;

/// The largest head of an answer.
const HEAD_BYTES: usize = 64 << 10;

/// How long a file may take as a whole: a server that sends a byte now and then is not waited for. A
/// large file over a slow line takes less.
const WHOLE_PATIENCE: Duration = Duration::from_secs(600);
