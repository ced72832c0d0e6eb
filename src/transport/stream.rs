//! The byte pipe itself.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::Tunnel;

/// A connection to a server. What has been written may wait in it until it is flushed.
#[derive(Debug)]
pub enum Stream {
    /// The bytes as they are.
    Tcp(TcpStream),
    /// Inside TLS.
    Tls(Box<BufferedTls>),
    /// Through HTTP requests, over one of the others at a time.
    Tunnel(Box<Tunnel<Self>>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Stream {
    /// What is at the bottom of it.
    #[cfg(test)]
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.stream.get_ref().0.get_ref(),
            Self::Tunnel(_) => panic!("a tunnel has one after another"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => stream.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_shutdown(context),
        }
    }
}

/// A TLS session that is read in large pieces: rustls itself asks the socket for 4 KiB at a time,
/// and gives what one record holds.
#[derive(Debug)]
pub struct BufferedTls {
    stream: TlsStream<BufReader<TcpStream>>,
}

impl BufferedTls {
    pub(super) fn new(stream: TlsStream<BufReader<TcpStream>>) -> Self {
        Self { stream }
    }

    /// Reads record by record until the buffer is full or no more has come. An end or an error
    /// behind some bytes is met again by the next read.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        loop {
            let before = buffer.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(context, buffer);
            let has_read = before > start;
            match read {
                Poll::Ready(Ok(())) if buffer.filled().len() > before && buffer.remaining() > 0 => {
                }
                Poll::Ready(Err(_)) | Poll::Pending if has_read => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(told(error))),
                read => return read,
            }
        }
    }
}

/// TLS has a word for the end. Without it, anybody may have cut the line.
fn told(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::UnexpectedEof {
        io::Error::new(ErrorKind::UnexpectedEof, NO_CLOSE_NOTIFY)
    } else {
        error
    }
}

/// What is read ahead of TLS: enough to make system calls rare.
pub(super) const READ_AHEAD_BYTES: usize = 128 * 1024;

const NO_CLOSE_NOTIFY: &str = "it ended without TLS's own end (close_notify)";
