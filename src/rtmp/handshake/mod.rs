//! C0 … S2 as a state machine (RTMP 5.2).
//!
//! ```text
//! client                       server
//!   │── C0 C1 ───────────────────▶│   at once
//!   │◀─────────────────── S0 S1 S2│
//!   │── C2 ──────────────────────▶│   when all of that is here: one server throws away whatever
//!   │── chunks                    │   follows C1 in the same read
//! ```
//!
//! C1 holds a [`digest`] unless that is switched off. A server that knows digests puts one into S1,
//! and C2 is then signed; to any other server the same C1 is random bytes, and C2 is a copy of S1.

pub mod block;
pub mod digest;

use bytes::{Buf, BytesMut};
use rand::Rng;
use thiserror::Error;
use tracing::debug;

use self::{
    block::Block,
    digest::{DIGEST_LEN, Scheme, Side},
};
use crate::wire::{Missing, Reader};

/// Which handshake the client offers and accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Offers a digest, and goes on as plain on the same connection if S1 holds none.
    #[default]
    Auto,
    /// Offers none, looks for none.
    Plain,
    /// Offers a digest, and fails if S1 holds none.
    Digest,
}

/// The client's side of one handshake.
#[derive(Debug)]
pub struct Handshake {
    mode: Mode,
    c1: Block,
    /// C1's digest, where one was offered.
    c1_digest: Option<[u8; DIGEST_LEN]>,
    /// Random, until S1 says what it has to be.
    c2: Block,
    outbox: BytesMut,
    summary: Option<Summary>,
}

impl Handshake {
    /// Starts with C0 and C1 to be sent. `time_ms` is the client's clock, from wherever it counts.
    pub fn new(mode: Mode, time_ms: u32, rng: &mut (impl Rng + ?Sized)) -> Self {
        let version = match mode {
            Mode::Plain => PLAIN_VERSION,
            Mode::Auto | Mode::Digest => DIGEST_VERSION,
        };
        let mut c1 = Block::opening(time_ms, version, rng);
        let c1_digest = (mode != Mode::Plain).then(|| digest::sign(&mut c1, SCHEME, Side::Client));
        let mut outbox = BytesMut::with_capacity(1 + Block::LEN);
        outbox.extend_from_slice(&[VERSION]);
        outbox.extend_from_slice(c1.as_bytes());
        Self {
            mode,
            c1,
            c1_digest,
            c2: Block::random(rng),
            outbox,
            summary: None,
        }
    }

    /// Appends what is to be sent to `out`: 1537 bytes after [`Handshake::new`], 1536 once
    /// [`Handshake::receive`] says [`Progress::Done`], else nothing.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.outbox);
        self.outbox.clear();
    }

    /// Takes S0, S1 and S2, 3073 bytes, once all of them are in the inbox; what follows stays there.
    /// Call it whenever bytes were added. When it is done, further calls take nothing and say the
    /// same.
    ///
    /// Anything but RTMP is an error with its first bytes. After an error the connection is of no use.
    pub fn receive(&mut self, inbox: &mut BytesMut) -> Result<Progress, Error> {
        if let Some(summary) = self.summary {
            return Ok(Progress::Done(summary));
        }
        check_version(inbox)?;
        let Ok((s1, s2)) = read_answer(inbox) else {
            return Ok(Progress::NeedsMore);
        };
        inbox.advance(ANSWER_LEN);
        let summary = self.conclude(&s1, &s2)?;
        debug!(
            scheme = ?summary.digest.map(|digest| digest.scheme),
            version = ?summary.server_version,
            signature = ?summary.server_signature,
            "handshake done"
        );
        self.summary = Some(summary);
        Ok(Progress::Done(summary))
    }

    /// Chooses C2 and looks at S2.
    fn conclude(&mut self, s1: &Block, s2: &Block) -> Result<Summary, Error> {
        let signed = self
            .c1_digest
            .and_then(|own| Some((own, digest::find(s1, SCHEME, Side::Server)?)));
        let server_signature = match signed {
            Some((own, (_, s1_digest))) => {
                digest::sign_reply(&mut self.c2, &s1_digest, Side::Client);
                check_signature(s2, &own)
            }
            None if self.mode == Mode::Digest => return Err(Error::NoDigest),
            None => {
                self.c2.clone_from(s1);
                self.check_echo(s2)
            }
        };
        self.outbox.extend_from_slice(self.c2.as_bytes());
        Ok(Summary {
            digest: signed.map(|(_, (scheme, bytes))| ServerDigest { scheme, bytes }),
            server_version: s1.version(),
            server_signature,
            s1_tail: s1.field(Block::LEN - DIGEST_LEN),
        })
    }

    /// ERR: a peer whose S2 is not an exact echo must not be rejected.
    fn check_echo(&self, s2: &Block) -> ServerSignature {
        if *s2 != self.c1 {
            debug!(?s2, "S2 is no echo of C1");
        }
        ServerSignature::Absent
    }
}

/// How far [`Handshake::receive`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// S2 is not all here yet.
    NeedsMore,
    /// C2 is to be sent; chunks may follow it at once, and the inbox goes on with the server's.
    Done(Summary),
}

/// What a handshake came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The digest of S1; `None` if it has none, or if none was offered to it.
    pub digest: Option<ServerDigest>,
    /// The version field of S1, which does not say whether there is a digest.
    pub server_version: [u8; 4],
    /// What S2 ends with.
    pub server_signature: ServerSignature,
    /// The last 32 bytes of S1: the key of the proof that SWF verification asks for.
    pub s1_tail: [u8; 32],
}

/// A verified digest of S1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerDigest {
    /// Where it was found.
    pub scheme: Scheme,
    /// The digest itself.
    pub bytes: [u8; DIGEST_LEN],
}

/// Whether S2 is signed in answer to C1's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSignature {
    /// It is.
    Verified,
    /// S1 has a digest, but the signature of S2 is not the one that goes with it. Nothing that a
    /// plain session depends on.
    Wrong,
    /// S1 has no digest, so S2 is taken for an echo.
    Absent,
}

/// An answer to C0 and C1 that no session can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// HTTP: a web server, or a proxy that refuses.
    #[error("server answered in HTTP, not in RTMP")]
    Http,
    /// A TLS record: the server wants rtmps.
    #[error("server answered in TLS, not in RTMP")]
    Tls,
    /// S0 is another version than C0 (RTMP 5.2.2).
    #[error("server answered with handshake version {0} ({0:#04x}), not 3")]
    Version(u8),
    /// [`Mode::Digest`], and S1 has no valid digest.
    #[error("server answered without a valid handshake digest")]
    NoDigest,
}

/// Tells what no RTMP server sends, as early as the bytes that are here can tell it.
fn check_version(inbox: &[u8]) -> Result<(), Error> {
    match inbox {
        [] | [VERSION, ..] => Ok(()),
        [TLS_ALERT | TLS_HANDSHAKE] => Ok(()),
        [TLS_ALERT | TLS_HANDSHAKE, TLS_MAJOR_VERSION, ..] => Err(Error::Tls),
        _ if inbox.starts_with(HTTP) => Err(Error::Http),
        _ if HTTP.starts_with(inbox) => Ok(()),
        [version, ..] => Err(Error::Version(*version)),
    }
}

/// S1 and S2, if all of them is here.
fn read_answer(inbox: &[u8]) -> Result<(Block, Block), Missing> {
    let mut reader = Reader::new(inbox);
    reader.u8("S0")?;
    let s1 = Block::read(&mut reader, "S1")?;
    let s2 = Block::read(&mut reader, "S2")?;
    Ok((s1, s2))
}

fn check_signature(s2: &Block, c1_digest: &[u8; DIGEST_LEN]) -> ServerSignature {
    if digest::verify_reply(s2, c1_digest, Side::Server) {
        return ServerSignature::Verified;
    }
    debug!(?s2, "wrong signature in S2");
    ServerSignature::Wrong
}

/// C0 and S0 of RTMP (RTMP 5.2.2).
const VERSION: u8 = 3;

/// S0, S1 and S2.
const ANSWER_LEN: usize = 1 + 2 * Block::LEN;

/// The version field of a C1 without a digest.
const PLAIN_VERSION: [u8; 4] = [0, 0, 0, 0];

/// The version field of a C1 with one. Servers look for a digest only where it is not zero.
const DIGEST_VERSION: [u8; 4] = [10, 0, 45, 2];

/// Where C1's digest stands, and where S1's is looked for first.
const SCHEME: Scheme = Scheme::DigestFirst;

/// How an answer in HTTP begins.
const HTTP: &[u8] = b"HTTP/";

/// The content types of a TLS record that can be the first one from a server, and the version byte
/// that follows in all of SSL 3.0 … TLS 1.3.
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR_VERSION: u8 = 3;

#[cfg(test)]
mod tests;
