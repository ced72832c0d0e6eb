//! The stream that [`super::Dialer::dial`] returns.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{Tunnel, TunnelFacts, capture::Replay, tls};

/// Byte stream to a server. Written bytes may be buffered until the stream is flushed.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<BufferedTls>),
    /// RTMPT over one of the other variants at a time.
    Tunnel(Box<Tunnel<Self>>),
    /// A captured session.
    Replay(Box<Replay>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Stream {
    /// Returns the facts of the RTMPT session, if the stream is a tunnel.
    pub fn tunnel_facts(&self) -> Option<&TunnelFacts> {
        match self {
            Self::Tunnel(tunnel) => Some(tunnel.facts()),
            Self::Tcp(_) | Self::Tls(_) | Self::Replay(_) => None,
        }
    }

    /// Returns the TCP socket. Panics for a tunnel, which uses several in succession, and for a captured session.
    #[cfg(test)]
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.stream.get_ref().0.get_ref(),
            Self::Tunnel(_) => panic!("a tunnel uses several sockets in succession"),
            Self::Replay(_) => panic!("a captured session has no socket"),
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
            Self::Replay(stream) => Pin::new(stream).poll_read(context, buffer),
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
            Self::Replay(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(context),
            Self::Replay(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Replay(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut stream.stream).poll_shutdown(context),
        }
    }
}

/// TLS stream that fills the caller's buffer from several records.
///
/// rustls alone returns one record per read.
#[derive(Debug)]
pub struct BufferedTls {
    stream: TlsStream<BufReader<TcpStream>>,
}

impl BufferedTls {
    pub(super) fn new(stream: TlsStream<BufReader<TcpStream>>) -> Self {
        Self { stream }
    }

    /// Reads records until the buffer is full or no further record has arrived.
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
            // An end or error after some bytes is not lost: rustls reports it again on the next read.
            match read {
                Poll::Ready(Ok(())) if buffer.filled().len() > before && buffer.remaining() > 0 => {
                }
                Poll::Ready(Err(_)) | Poll::Pending if has_read => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(tls::explain(error))),
                read => return read,
            }
        }
    }
}
