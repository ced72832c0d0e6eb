//! A byte pipe through HTTP: RTMPT.
//!
//! What is to be sent goes out as the bodies of `POST /send/…`, and what the server has to say comes
//! back in the answers to these and to `POST /idle/…`, each behind a byte that suggests when to ask
//! again. [`session`] knows which request comes when, [`http`] how requests and answers look, [`polling`]
//! how often to ask, [`pipelining`] what the server bears.

mod http;
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

use self::{http::Status, session::Session};

/// An open tunnel, carried by one connection at a time, which is made anew as often as the server or
/// a proxy closes it.
///
/// It has no task of its own: reading drives requests and answers, writing and flushing the requests.
/// Whoever writes therefore has to read as well, in the same task, and where nobody reads, nothing is
/// asked for. When it is dropped, the server is not told; shutting it down tells it.
pub struct Tunnel<P> {
    session: Session,
    link: Connection<P>,
    dial: Dial<P>,
    /// What came and is not yet understood.
    inbox: BytesMut,
    /// Requests on their way out.
    outbox: BytesMut,
    timer: Pin<Box<Sleep>>,
}

/// What makes the next connection.
pub(super) type Dial<P> = Box<dyn Fn() -> Dialing<P> + Send>;

/// A connection that is being made.
pub(super) type Dialing<P> = Pin<Box<dyn Future<Output = io::Result<P>> + Send>>;

enum Connection<P> {
    Down,
    Dialing(Dialing<P>),
    Up { pipe: P, is_writable: bool },
}

/// Why there is no tunnel, or none any more. The server's words in it are not escaped.
#[derive(Debug, Error, PartialEq, Eq)]
enum Error {
    #[error("the server speaks no RTMPT: {0}")]
    NoTunnel(Status),
    #[error("the server speaks no RTMPT: it answers with a page")]
    Page,
    #[error("the server speaks no RTMPT: its answer names no session")]
    NoName,
    #[error("the server speaks no HTTP")]
    NoHttp,
    #[error("the server does not go on with the tunnel: {0}")]
    Ended(Status),
    #[error("the head of the server's HTTP answer is too long")]
    LongHead,
    #[error("the length of the server's HTTP answer makes no sense")]
    Framing,
    /// Something else than an answer comes where one should, or nothing.
    #[error("the server's HTTP answer is not as long as announced")]
    Surplus,
    #[error("the server's HTTP answer is shorter than announced")]
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

impl<P: AsyncRead + AsyncWrite + Unpin> Tunnel<P> {
    /// Opens a tunnel to the server that calls itself `host` over `pipe`, and over what `dial` makes
    /// after that.
    pub(super) async fn open(pipe: P, host: String, dial: Dial<P>) -> io::Result<Self> {
        let now = Instant::now();
        let mut tunnel = Self {
            session: Session::new(host, now),
            link: Connection::up(pipe),
            dial,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            timer: Box::pin(sleep_until(now)),
        };
        let is_open =
            std::future::poll_fn(|context| tunnel.poll_until(context, |session| session.is_open()));
        is_open.await?;
        Ok(tunnel)
    }

    /// Drives requests and answers until `is_enough`; there is nothing to wait for once the session
    /// is over.
    fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        is_enough: impl Fn(&Session) -> bool,
    ) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            self.session.advance(&mut self.inbox, now)?;
            if self.session.is_connection_over() {
                self.close_connection(now)?;
            }
            self.poll_send(context, now)?;
            if self.session.is_over() || is_enough(&self.session) {
                return Poll::Ready(Ok(()));
            }
            if self.poll_receive(context, now)?.is_pending() {
                ready!(self.poll_timer(context));
            }
        }
    }

    /// Sends what is due, over a new connection where there is none.
    fn poll_send(&mut self, context: &mut Context<'_>, now: Instant) -> io::Result<()> {
        self.session.prepare(now);
        loop {
            match &mut self.link {
                Connection::Down if self.session.has_unsent() && !self.session.is_over() => {
                    self.link = Connection::Dialing((self.dial)());
                }
                Connection::Down => return Ok(()),
                Connection::Dialing(dialing) => match dialing.as_mut().poll(context) {
                    Poll::Ready(pipe) => self.link = Connection::up(pipe?),
                    Poll::Pending => return Ok(()),
                },
                Connection::Up { pipe, is_writable } => {
                    self.session.transmit(&mut self.outbox);
                    // Where nothing can be sent any more, there may be answers nevertheless; the end
                    // of them says that the requests are lost.
                    if let Err(error) = poll_write_all(pipe, &mut self.outbox, context) {
                        tracing::debug!("cannot send: {error}");
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

    /// Reads what has come into the inbox. Ready when something changed.
    fn poll_receive(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let Connection::Up { pipe, .. } = &mut self.link else {
            return Poll::Pending;
        };
        self.inbox.reserve(READ_BYTES);
        let mut limited = pipe.take(READ_BYTES as u64);
        let read = std::pin::pin!(limited.read_buf(&mut self.inbox)).poll(context);
        match ready!(read) {
            Ok(1..) => Poll::Ready(Ok(())),
            end => Poll::Ready(self.closed(end.err(), now)),
        }
    }

    /// Ready when it is time for [`Session::prepare`].
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.session.timeout() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(context)
    }

    /// The connection was closed, or broke.
    fn closed(&mut self, error: Option<io::Error>, now: Instant) -> io::Result<()> {
        if let Some(error) = &error {
            tracing::debug!("the tunnel's connection broke: {error}");
        }
        // The beginning of an answer's head is as good as none.
        self.inbox.clear();
        self.link = Connection::Down;
        self.outbox.clear();
        match error {
            // Where a body has no length, only an end in order is its end.
            Some(error) if self.session.is_in_body() => Err(error),
            _ => Ok(self.session.disconnected(now)?),
        }
    }

    /// The server has said that it closes the connection.
    fn close_connection(&mut self, now: Instant) -> io::Result<()> {
        if !self.inbox.is_empty() {
            return Err(Error::Surplus.into());
        }
        self.link = Connection::Down;
        self.outbox.clear();
        Ok(self.session.disconnected(now)?)
    }

    /// Gives the reader what the server says next; nothing where nothing more comes.
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
                buffer.put_slice(&self.inbox[..count]);
                self.inbox.advance(count);
            } else if left >= READ_BYTES as u64 {
                ready!(self.poll_read_direct(context, left, buffer, now))?;
            } else {
                ready!(self.poll_receive(context, now))?;
            }
            let count = buffer.filled().len() - had;
            if count > 0 {
                self.session.took(count as u64);
                // What was asked for with this answer is asked for before it is looked at.
                self.session.advance(&mut self.inbox, now)?;
                if !self.session.is_connection_over() {
                    self.poll_send(context, now)?;
                }
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads so much at most without a way through the inbox.
    fn poll_read_direct(
        &mut self,
        context: &mut Context<'_>,
        left: u64,
        buffer: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        let Connection::Up { pipe, .. } = &mut self.link else {
            return Poll::Pending;
        };
        let had = buffer.filled().len();
        let read = ready!(Pin::new(&mut pipe.take(left)).poll_read(context, buffer));
        if read.is_err() || buffer.filled().len() == had {
            return Poll::Ready(self.closed(read.err(), now));
        }
        Poll::Ready(Ok(()))
    }

    /// After an error there is nothing more to be said or heard.
    fn abort_on_error<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &result {
            self.session.give_up();
            self.link = Connection::Down;
        }
        result
    }
}

fn poll_write_all<P: AsyncWrite + Unpin>(
    pipe: &mut P,
    outbox: &mut BytesMut,
    context: &mut Context<'_>,
) -> io::Result<()> {
    while !outbox.is_empty() {
        match Pin::new(&mut *pipe).poll_write(context, outbox)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => outbox.advance(count),
            Poll::Pending => return Ok(()),
        }
    }
    let _when_it_can = Pin::new(pipe).poll_flush(context)?;
    Ok(())
}

impl<P> Connection<P> {
    fn up(pipe: P) -> Self {
        Self::Up {
            pipe,
            is_writable: true,
        }
    }
}

impl<P: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<P> {
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

impl<P: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<P> {
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

    /// Tells the server, and waits for its answer.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.session.is_over() {
            this.session.close();
            let closed = this.poll_until(context, Session::is_over);
            ready!(this.abort_on_error(closed))?;
        }
        match &mut this.link {
            Connection::Up { pipe, .. } => Pin::new(pipe).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<P> fmt::Debug for Tunnel<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Read at a time where it is not known yet what comes: an answer's head, and the data behind it.
/// More of its data than this goes to the reader without a copy.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
