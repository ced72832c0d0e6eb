//! The sessions in a capture file.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{packet::Segment, packets::Packets, reassembly::Reassembly};

/// The sessions of plain RTMP in a capture file.
#[derive(Debug)]
pub struct Sessions {
    path: PathBuf,
    connections: Vec<Connection>,
    /// Number of sessions that [`Sessions::next`] has returned.
    used: AtomicUsize,
}

/// Error of [`Sessions::open`].
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read, or is not a capture.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No connection in the capture starts with a plain RTMP handshake.
    #[error("contains no session of plain RTMP from its first packet on")]
    NoSession,
}

/// A TCP connection whose first packets the capture contains.
#[derive(Debug, Clone, Copy)]
struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    /// Sequence number of the first byte that the server sends.
    first: u32,
    /// Whether that byte is the version of plain RTMP.
    is_rtmp: bool,
}

impl Sessions {
    /// Finds the sessions in a capture.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let mut packets = Packets::open(path)?;
        let mut connections: Vec<Connection> = Vec::new();
        // Ports are reused, so the latest connection of two addresses counts.
        let mut latest = BTreeMap::new();
        while let Some((link, packet)) = packets.next()? {
            let Some(segment) = Segment::parse(link, packet) else {
                continue;
            };
            let addresses = (segment.to, segment.from);
            let position: Option<usize> = latest.get(&addresses).copied();
            let known = position.and_then(|position| connections.get_mut(position));
            if segment.is_syn && segment.is_ack {
                let first = segment.sequence.wrapping_add(1);
                let is_repeated = known.is_some_and(|known| known.first == first);
                if !is_repeated && connections.len() < MAX_CONNECTIONS {
                    latest.insert(addresses, connections.len());
                    connections.push(Connection {
                        client: segment.to,
                        server: segment.from,
                        first,
                        is_rtmp: false,
                    });
                }
            } else if let Some(known) = known
                && segment.sequence == known.first
            {
                known.is_rtmp |= segment.data.first() == Some(&RTMP_VERSION);
            }
        }
        connections.retain(|connection| connection.is_rtmp);
        if connections.is_empty() {
            return Err(ReadError::NoSession);
        }
        Ok(Self {
            path: path.to_owned(),
            connections,
            used: AtomicUsize::new(0),
        })
    }

    /// Returns the number of sessions.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Whether [`Sessions::next`] has returned all sessions.
    pub fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.connections.len()
    }

    /// Returns the next session; `None` after the last one.
    pub fn next(&self) -> io::Result<Option<Replay>> {
        let index = self.used.fetch_add(1, Ordering::Relaxed);
        let Some(&connection) = self.connections.get(index) else {
            return Ok(None);
        };
        Ok(Some(Replay {
            packets: Packets::open(&self.path)?,
            connection,
            reassembly: None,
            bytes: Vec::new(),
            read: 0,
            has_ended: false,
        }))
    }
}

/// The bytes that the server sent in one session. Written bytes are discarded.
#[derive(Debug)]
pub struct Replay {
    packets: Packets,
    connection: Connection,
    /// `None` up to the start of the connection.
    reassembly: Option<Reassembly>,
    /// Bytes in order, of which the first `read` are read.
    bytes: Vec<u8>,
    read: usize,
    has_ended: bool,
}

impl Replay {
    /// Reads packets until there are more bytes of the server, or the connection ends.
    fn fill(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.read = 0;
        while self.bytes.is_empty() && !self.has_ended {
            let Some((link, packet)) = self.packets.next()? else {
                self.has_ended = true;
                return self.reassembly.as_ref().map_or(Ok(()), Reassembly::finish);
            };
            let segment = Segment::parse(link, packet);
            let Connection { client, server, .. } = self.connection;
            let Some(segment) = segment.filter(|it| it.from == server && it.to == client) else {
                continue;
            };
            if segment.is_syn {
                let first = segment.sequence.wrapping_add(1);
                let is_this = first == self.connection.first;
                if is_this {
                    self.reassembly
                        .get_or_insert_with(|| Reassembly::new(first));
                }
                // The ports are used by another connection.
                self.has_ended = !is_this && self.reassembly.is_some();
                continue;
            }
            let Some(reassembly) = &mut self.reassembly else {
                continue;
            };
            if segment.is_reset {
                self.has_ended = true;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            reassembly.push(segment.sequence, segment.data, &mut self.bytes)?;
        }
        Ok(())
    }
}

impl AsyncRead for Replay {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read == this.bytes.len() {
            this.fill()?;
        }
        let rest = this.bytes.get(this.read..).unwrap_or_default();
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..count).unwrap_or_default());
        this.read = this.read.saturating_add(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// First byte that a server sends in a session without encryption (RTMP 5.2.2).
const RTMP_VERSION: u8 = 3;

/// Largest number of connections of a capture that are considered.
const MAX_CONNECTIONS: usize = 10_000;
