//! One connection to a server with its inbox and outbox.

use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, ErrorKind},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::transport::{Stream, TunnelFacts};

/// A stream with the received bytes that are not parsed yet and the bytes that are not sent yet.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Received bytes that are not parsed.
    pub(super) inbox: BytesMut,
    /// Whether the inbox is the receive buffer of this thread, see [`Connection::lend_buffer`].
    has_buffer: bool,
    /// An empty buffer, which becomes the inbox while other connections use the receive buffer.
    small: BytesMut,
    pub(super) outbox: BytesMut,
    is_writable: bool,
    /// A reset that was reported to a write. The system reports a reset only once, and the next
    /// read would return an end of stream instead.
    reset: Option<io::Error>,
    /// Whether the stream holds no unflushed bytes.
    is_flushed: bool,
}

/// Result of [`Connection::exchange`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes moved in one of the two directions.
    Bytes,
    /// The peer closed its side, and the inbox holds everything that it sent.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbox: BytesMut::new(),
            has_buffer: false,
            small: BytesMut::new(),
            outbox: BytesMut::new(),
            is_writable: true,
            reset: None,
            is_flushed: true,
        }
    }

    /// Returns the facts of the RTMPT session, if the connection is a tunnel.
    pub(super) fn tunnel_facts(&self) -> Option<&TunnelFacts> {
        self.stream.tunnel_facts()
    }

    /// Sends, or receives if `is_reading`, whichever is possible first. Cancelling loses nothing.
    ///
    /// A failed write is not an error yet: the bytes that arrived must still be read, and the
    /// following read reports how the connection ended.
    pub(super) async fn exchange(&mut self, is_reading: bool) -> io::Result<Moved> {
        if !self.is_writable {
            self.outbox.clear();
        }
        self.lend_buffer();
        poll_fn(|context| {
            // Sending comes first: a server that sends without pause must not delay
            // acknowledgements and pings.
            if self.poll_send(context).is_ready() {
                return Poll::Ready(Ok(Moved::Bytes));
            }
            if is_reading {
                self.poll_receive(context)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Resolves after bytes were sent or after sending became impossible.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let has_more = !self.outbox.is_empty();
        let sent = if has_more {
            self.is_flushed = false;
            let write = pin!(self.stream.write_buf(&mut self.outbox));
            let written = ready!(write.poll(context)).map(drop);
            if self.outbox.is_empty() {
                // Later messages are short and rare, and the handshake has made the buffer large.
                self.outbox = BytesMut::new();
            }
            written
        } else if !self.is_flushed {
            let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
            self.is_flushed = true;
            flushed
        } else {
            Ok(())
        };
        if let Err(error) = sent {
            tracing::debug!("cannot send: {error}");
            self.is_writable = false;
            self.is_flushed = true;
            self.outbox.clear();
            self.reset = Some(error).filter(|error| error.kind() == ErrorKind::ConnectionReset);
        }
        if has_more {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Moves the rest of the inbox to a small buffer, and leaves the receive buffer to the other connections of
    /// this thread. Most of them wait most of the time.
    ///
    /// Before a read, at most a partial chunk header or a handshake remains in the inbox. After an interrupted
    /// turn the inbox may be full, and keeps the buffer.
    fn lend_buffer(&mut self) {
        if self.has_buffer && self.inbox.len() <= MAX_LEFT_OVER {
            self.has_buffer = false;
            self.small.extend_from_slice(&self.inbox);
            let mut buffer = mem::replace(&mut self.inbox, mem::take(&mut self.small));
            buffer.clear();
            RECEIVE_BUFFER.set(Some(buffer));
        }
    }

    /// Moves the inbox to the receive buffer of this thread. If another connection keeps that buffer, creates
    /// another one.
    fn take_buffer(&mut self) {
        if !self.has_buffer {
            self.has_buffer = true;
            let mut buffer = RECEIVE_BUFFER.take().unwrap_or_default();
            buffer.reserve(READ_BYTES + MAX_LEFT_OVER);
            buffer.extend_from_slice(&self.inbox);
            self.small = mem::replace(&mut self.inbox, buffer);
            self.small.clear();
        }
        // Moves the rest to the front, and never grows the buffer.
        self.inbox.reserve(READ_BYTES);
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        self.take_buffer();
        let read = pin!(self.stream.read_buf(&mut self.inbox)).poll(context);
        if read.is_pending() {
            self.lend_buffer();
        }
        let read = ready!(read);
        Poll::Ready(match (read, self.reset.take()) {
            (Ok(0), Some(reset)) => Err(reset),
            (Ok(0), None) => Ok(Moved::Closed),
            (Ok(_), reset) => {
                self.reset = reset;
                Ok(Moved::Bytes)
            }
            (Err(error), _) => Err(error),
        })
    }

    /// Flushes the outbox and shuts the stream down, within 200 ms.
    pub(super) async fn close(mut self) {
        let closing = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.shutdown().await
        };
        if let Ok(Err(error)) = timeout(CLOSE_TIMEOUT, closing).await {
            tracing::debug!("cannot close the connection: {error}");
        }
    }
}

/// Bytes per read: enough to make system calls rare. 256 KiB cost 5 % less CPU, but then a download into a pipe
/// needs more than 8 MiB of memory.
pub(super) const READ_BYTES: usize = 128 * 1024;

thread_local! {
    /// The receive buffer of this thread while no connection uses it.
    static RECEIVE_BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Largest remainder between two reads: a partial chunk header, or once a handshake.
pub(super) const MAX_LEFT_OVER: usize = 4096;

/// Time limit for the final messages and the shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (Connection::new(near.unwrap().into()), far.unwrap().0)
    }

    #[tokio::test]
    async fn answers_are_sent_while_more_bytes_can_be_read() {
        let (mut connection, mut far) = pair().await;
        far.write_all(&[7; 1000]).await.unwrap();
        connection.stream.tcp().readable().await.unwrap();
        connection.outbox.extend_from_slice(b"pong");
        assert_eq!(connection.exchange(true).await.unwrap(), Moved::Bytes);
        assert!(connection.outbox.is_empty() && connection.inbox.is_empty());
        assert_eq!(connection.exchange(true).await.unwrap(), Moved::Bytes);
        assert_eq!(connection.inbox.len(), 1000);
        let mut pong = [0; 4];
        far.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"pong");
    }

    #[tokio::test]
    async fn arrived_bytes_are_read_after_a_failed_write() {
        let (mut connection, mut far) = pair().await;
        far.write_all(b"last words").await.unwrap();
        drop(far);
        connection.outbox.extend_from_slice(&[0; 100]);
        let mut moved = Moved::Bytes;
        while moved != Moved::Closed {
            connection.outbox.extend_from_slice(&[0; 100]);
            moved = connection.exchange(true).await.unwrap_or(Moved::Closed);
        }
        assert_eq!(&connection.inbox[..], b"last words");
    }

    /// Linux reports a reset once, to the first call that meets it, and an end of stream
    /// afterwards.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_reset_reported_to_a_write_is_not_an_end_of_stream() {
        let (mut connection, far) = pair().await;
        socket2::SockRef::from(&far)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(far);
        connection.stream.tcp().readable().await.unwrap();
        connection.outbox.extend_from_slice(b"acknowledgement");
        assert_eq!(connection.exchange(true).await.unwrap(), Moved::Bytes);
        let error = connection.exchange(true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    /// A server that closes with unread bytes resets the connection after its final messages.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn bytes_before_a_reset_are_read_after_a_failed_write() {
        for has_unread_bytes in [true, false] {
            let (mut connection, mut far) = pair().await;
            if has_unread_bytes {
                connection.outbox.extend_from_slice(b"unread");
                assert_eq!(connection.exchange(false).await.unwrap(), Moved::Bytes);
                far.readable().await.unwrap();
            } else {
                let far = socket2::SockRef::from(&far);
                far.set_linger(Some(Duration::ZERO)).unwrap();
            }
            far.write_all(b"last words").await.unwrap();
            drop(far);
            connection.stream.tcp().readable().await.unwrap();
            connection.outbox.extend_from_slice(b"acknowledgement");
            assert_eq!(connection.exchange(true).await.unwrap(), Moved::Bytes);
            assert!(!connection.is_writable && connection.inbox.is_empty());
            assert_eq!(connection.exchange(true).await.unwrap(), Moved::Bytes);
            assert_eq!(&connection.inbox[..], b"last words");
            let error = connection.exchange(true).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn nothing_is_read_while_reading_is_off() {
        let (mut connection, mut far) = pair().await;
        far.write_all(b"later").await.unwrap();
        let waited = timeout(Duration::from_millis(20), connection.exchange(false)).await;
        assert!(waited.is_err() && connection.inbox.is_empty());
    }
}
