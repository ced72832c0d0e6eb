//! The two directions of a connection, and the bytes that wait at either end.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::transport::Stream;

/// A connection with what has come and is not yet understood, and what is not yet sent.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) inbox: BytesMut,
    pub(super) outbox: BytesMut,
    is_writable: bool,
    /// A reset that sending met: the system tells of it once, and reading would then meet an end.
    reset: Option<io::Error>,
    /// Whether the stream may hold back some of what it has taken.
    is_flushed: bool,
}

/// What moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Some bytes, in one direction or the other.
    Bytes,
    /// The peer has closed its side, and all that it sent is in the inbox.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbox: BytesMut::with_capacity(READ_BYTES + MAX_LEFT_OVER),
            outbox: BytesMut::new(),
            is_writable: true,
            reset: None,
            is_flushed: true,
        }
    }

    /// Sends or, where `is_reading`, receives: whichever can be done first. Cancelling loses nothing.
    ///
    /// A connection that takes no more bytes is no error yet: what had arrived is still to be read,
    /// and the end of it says what happened.
    pub(super) async fn exchange(&mut self, is_reading: bool) -> io::Result<Moved> {
        if !self.is_writable {
            self.outbox.clear();
        }
        // What is left over is a part of a header: this moves it to the front, and never grows.
        self.inbox.reserve(READ_BYTES);
        poll_fn(|context| {
            // Sending first: answers must not wait until a server that sends and sends is done.
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

    /// Ready when something was sent, or cannot be any more.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let has_more = !self.outbox.is_empty();
        let sent = if has_more {
            self.is_flushed = false;
            let write = pin!(self.stream.write_buf(&mut self.outbox));
            ready!(write.poll(context)).map(drop)
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

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        let read = ready!(pin!(self.stream.read_buf(&mut self.inbox)).poll(context));
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

    /// Sends what is left. A peer that does not read is not waited for.
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

/// Read at a time: enough to make system calls rare, little enough to stay in the cache.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// More than a chunk header, which is all that is left over from one read to the next; a handshake
/// is left over once, and fits too.
pub(super) const MAX_LEFT_OVER: usize = 4096;

/// How long the last words may take.
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
    async fn answers_go_out_while_more_can_be_read() {
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
    async fn what_had_arrived_is_read_though_nothing_can_be_sent() {
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

    /// The system tells of a reset once, to whoever asks first, and then only of an end.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_reset_that_sending_met_is_no_end() {
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

    #[tokio::test]
    async fn nothing_is_read_while_nobody_wants_it() {
        let (mut connection, mut far) = pair().await;
        far.write_all(b"later").await.unwrap();
        let waited = timeout(Duration::from_millis(20), connection.exchange(false)).await;
        assert!(waited.is_err() && connection.inbox.is_empty());
    }
}
