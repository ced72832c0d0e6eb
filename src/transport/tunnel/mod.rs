//! RTMPT: a byte stream through HTTP requests.
//!
//! The client sends data in the bodies of `POST /send/…`. The server sends data in the responses to
//! these and to `POST /idle/…`, after one byte that suggests a polling interval.
//!
//! | module | task |
//! | --- | --- |
//! | [`session`] | state machine: due requests, meaning of responses, retries |
//! | [`polling`] | when to send `idle` requests |
//! | [`pipelining`] | how many requests a connection may have in flight |
//! | [`facts`] | facts of a session for reports |

mod facts;
#[cfg(fuzzing)]
pub mod fuzzing;
mod pipelining;
mod polling;
mod session;

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

pub use self::facts::TunnelFacts;
use self::session::Session;
use super::http::{ResponseError, response::Status};

/// Open tunnel, carried by one connection at a time. It dials again when the server or a proxy closes
/// the connection.
///
/// The tunnel has no task of its own. Reading drives requests and responses; writing and flushing only
/// send requests. A writer must therefore also read, in the same task. Without a reader, the tunnel
/// requests no data. Shutting the tunnel down closes the session on the server; dropping it does not.
pub struct Tunnel<S> {
    session: Session,
    connection: Connection<S>,
    dial: Dial<S>,
    /// Received bytes that are not parsed yet.
    inbox: BytesMut,
    /// Requests that are not written to the connection yet.
    outbox: BytesMut,
    timer: Pin<Box<Sleep>>,
    /// Error that follows the data of the last read.
    failure: Option<io::Error>,
}

/// Opens the next connection.
pub(super) type Dial<S> = Box<dyn Fn() -> Dialing<S> + Send>;

/// Pending connection.
pub(super) type Dialing<S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

enum Connection<S> {
    Closed,
    Dialing(Dialing<S>),
    Open { stream: S, is_writable: bool },
}

/// Error of a tunnel. Text of the server in it is not escaped.
#[derive(Debug, Error, PartialEq, Eq)]
enum Error {
    #[error("the server does not speak RTMPT: {0}")]
    NotRtmpt(Status),
    #[error("the server does not speak RTMPT: it answers with a web page")]
    WebPage,
    #[error("the server does not speak RTMPT: its response contains no session id")]
    NoSessionId,
    #[error("the server ended the tunnel: {0}")]
    Ended(Status),
    #[error("the server's HTTP response has an unexpected coding")]
    Coding,
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// Bytes that are not a response follow one, because it was longer or shorter than announced.
    #[error("the server's HTTP response does not have the announced length")]
    Surplus,
    #[error("the server's HTTP response is shorter than announced")]
    Short,
    #[error("the server closed the connection instead of answering, twice")]
    Lost,
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Short | Error::Lost => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tunnel<S> {
    /// Opens a session over `stream`, and later over the connections of `dial`. `host` is the value of
    /// the Host field.
    pub(super) async fn open(stream: S, host: String, dial: Dial<S>) -> io::Result<Self> {
        let now = Instant::now();
        let mut tunnel = Self {
            session: Session::new(host, now),
            connection: Connection::open(stream),
            dial,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            timer: Box::pin(sleep_until(now)),
            failure: None,
        };
        tunnel.session.connected();
        let is_open =
            std::future::poll_fn(|context| tunnel.poll_until(context, |session| session.is_open()));
        is_open.await?;
        Ok(tunnel)
    }

    /// Returns the facts of the session so far.
    pub(super) fn facts(&self) -> &TunnelFacts {
        self.session.facts()
    }

    /// Drives requests and responses until `is_done` returns true or the session is over.
    fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        is_done: impl Fn(&Session) -> bool,
    ) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        loop {
            let now = Instant::now();
            self.session.advance(&mut self.inbox, now)?;
            self.poll_send(context, now)?;
            if self.session.is_over() || is_done(&self.session) {
                return Poll::Ready(Ok(()));
            }
            // The task may sleep only if both the connection and the timer are pending.
            if self.poll_receive(context, now)?.is_pending() {
                ready!(self.poll_timer(context));
            }
        }
    }

    /// Sends the due requests, over a new connection if the current one is over or none is open.
    fn poll_send(&mut self, context: &mut Context<'_>, now: Instant) -> io::Result<()> {
        if self.session.is_connection_over() {
            self.close_connection(now)?;
        }
        self.session.prepare(now);
        loop {
            match &mut self.connection {
                Connection::Closed if self.session.has_unsent() && !self.session.is_over() => {
                    self.connection = Connection::Dialing((self.dial)());
                }
                Connection::Closed => return Ok(()),
                Connection::Dialing(dialing) => match dialing.as_mut().poll(context) {
                    Poll::Ready(stream) => {
                        self.connection = Connection::open(stream?);
                        self.session.connected();
                    }
                    Poll::Pending => return Ok(()),
                },
                Connection::Open {
                    stream,
                    is_writable,
                } => {
                    self.session.transmit(&mut self.outbox);
                    // After a failed write, responses may still arrive. The end of the stream then shows
                    // which requests are unanswered.
                    if let Err(error) = poll_write_all(stream, &mut self.outbox, context) {
                        tracing::debug!("cannot write to the tunnel's connection: {error}");
                        *is_writable = false;
                    }
                    if !*is_writable {
                        self.outbox.clear();
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Reads into the inbox. Ready after new bytes or the end of the connection.
    fn poll_receive(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let Connection::Open { stream, .. } = &mut self.connection else {
            return Poll::Pending;
        };
        self.inbox.reserve(READ_BYTES);
        let mut limited = stream.take(READ_BYTES as u64);
        let read = std::pin::pin!(limited.read_buf(&mut self.inbox)).poll(context);
        match ready!(read) {
            Ok(1..) => Poll::Ready(Ok(())),
            end => Poll::Ready(self.disconnected(end.err(), now)),
        }
    }

    /// Ready when [`Session::prepare`] is due.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.session.timeout() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(context)
    }

    /// Handles a connection that the server closed, or that broke with `error`.
    fn disconnected(&mut self, error: Option<io::Error>, now: Instant) -> io::Result<()> {
        if let Some(error) = &error {
            tracing::debug!("the tunnel's connection broke: {error}");
        }
        // An incomplete head counts as no response.
        self.inbox.clear();
        self.connection = Connection::Closed;
        self.outbox.clear();
        match error {
            // A body without a length is complete only after an orderly close.
            Some(error) if self.session.is_in_body() => Err(error),
            _ => Ok(self.session.disconnected(now)?),
        }
    }

    /// Closes the connection after its last response.
    fn close_connection(&mut self, now: Instant) -> io::Result<()> {
        if !self.inbox.is_empty() {
            return Err(Error::Surplus.into());
        }
        self.connection = Connection::Closed;
        self.outbox.clear();
        Ok(self.session.disconnected(now)?)
    }

    /// Moves tunnel data into `buffer`; moves nothing if the session is over.
    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_until(context, |session| session.data_left() > 0))?;
            let left = self.session.data_left();
            if left == 0 || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let now = Instant::now();
            let had = buffer.filled().len();
            if !self.inbox.is_empty() {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                let count = left.min(self.inbox.len()).min(buffer.remaining());
                buffer.put_slice(self.inbox.get(..count).unwrap_or_default());
                self.inbox.advance(count);
            } else if left >= READ_BYTES as u64 {
                ready!(self.poll_read_direct(context, left, buffer, now))?;
            } else {
                ready!(self.poll_receive(context, now))?;
            }
            let count = buffer.filled().len().saturating_sub(had);
            if count > 0 {
                self.session.consume_data(count as u64);
                // Send the next request before the caller processes this data.
                let advanced = self.session.advance(&mut self.inbox, now);
                let sent = advanced.map_err(io::Error::from);
                self.failure = sent.and_then(|()| self.poll_send(context, now)).err();
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads at most `left` bytes into `buffer` without a copy through the inbox.
    fn poll_read_direct(
        &mut self,
        context: &mut Context<'_>,
        left: u64,
        buffer: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        let Connection::Open { stream, .. } = &mut self.connection else {
            return Poll::Pending;
        };
        let had = buffer.filled().len();
        let read = ready!(Pin::new(&mut stream.take(left)).poll_read(context, buffer));
        if read.is_err() || buffer.filled().len() == had {
            return Poll::Ready(self.disconnected(read.err(), now));
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the session if `result` is an error.
    fn abort_on_error<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &result {
            self.session.abort();
            self.connection = Connection::Closed;
        }
        result
    }
}

fn poll_write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    outbox: &mut BytesMut,
    context: &mut Context<'_>,
) -> io::Result<()> {
    while !outbox.is_empty() {
        match Pin::new(&mut *stream).poll_write(context, outbox)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => outbox.advance(count),
            Poll::Pending => return Ok(()),
        }
    }
    let _pending_is_fine = Pin::new(stream).poll_flush(context)?;
    Ok(())
}

impl<S> Connection<S> {
    fn open(stream: S) -> Self {
        Self::Open {
            stream,
            is_writable: true,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = this.poll_data(context, buffer);
        this.abort_on_error(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.session.is_over() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = this.session.write(bytes);
        if count == 0 && !bytes.is_empty() {
            let sent = this.poll_send(context, Instant::now());
            return this.abort_on_error(
                sent.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            );
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.session.is_over() {
            return Poll::Ready(Ok(()));
        }
        let flushed = match this.poll_send(context, Instant::now()) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) if this.session.is_flushed() && this.outbox.is_empty() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
        };
        this.abort_on_error(flushed)
    }

    /// Sends the remaining bytes and a `close` request, and waits for its response.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.session.is_over() {
            this.session.close();
            let closed = this.poll_until(context, Session::is_over);
            ready!(this.abort_on_error(closed))?;
        }
        match &mut this.connection {
            Connection::Open { stream, .. } => Pin::new(stream).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S> fmt::Debug for Tunnel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Bytes per read into the inbox. Tunnel data beyond this size is read directly into the caller's
/// buffer.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
