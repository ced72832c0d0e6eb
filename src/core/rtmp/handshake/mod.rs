//! The client side of the handshake as a state machine (RTMP 5.2).
//!
//! ```text
//! client                       server
//!   │── C0 C1 ───────────────────▶│   immediately
//!   │◀──────────────────── S0 S1 ─│
//!   │── C2 ──────────────────────▶│   after S1, because some servers send S2 only after C2
//!   │◀─────────────────────── S2 ─│
//!   │── chunks                    │   after S2: one server discards what follows C1 in one read
//! ```
//!
//! C1 contains a [`digest`] unless [`Mode::Plain`] is chosen. A server that supports digests puts
//! one into S1, and C2 is then signed. To any other server C1 is random bytes, and C2 is a copy of
//! S1.
//!
//! S0 selects the kind of handshake:
//!
//! | C0 | S0 | then |
//! | --- | --- | --- |
//! | 3 | 3 | plain session, with or without digests |
//! | 6 | 6, 8, 9 | encrypted session; the signatures are plain, or encrypted with XTEA or Blowfish |
//! | 6 | 3 | the server does not encrypt, with or without digests |
//!
//! For [`encryption`], C1 and S1 also contain public keys. The handshake itself is sent in the
//! clear; everything after C2 and S2 is encrypted.

pub mod block;
pub mod digest;
pub mod encryption;
pub(super) mod hmac;
mod text_answer;

use std::fmt;

use bytes::{Buf, BytesMut};
use rand::Rng;
use thiserror::Error;
use tracing::{debug, warn};

pub use self::text_answer::unfinished_text_answer;
use self::{
    block::Block,
    digest::{DIGEST_LEN, Scheme, Side},
    encryption::{Ciphers, Encryption, KeyAgreement, SignatureCipher, dh::KeyPair},
    text_answer::{TextAnswer, is_printable},
};
use crate::core::wire::{Missing, Reader};

/// The handshake that the client offers and accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Offers a digest, and continues as plain on the same connection if S1 contains none.
    #[default]
    Auto,
    /// Neither offers a digest nor looks for one.
    Plain,
    /// Offers a digest, and fails if S1 contains none.
    Digest,
}

/// The client side of one handshake.
#[derive(Debug)]
pub struct Handshake {
    mode: Mode,
    encryption: Encryption,
    /// The key pair of the client, if encryption was requested.
    key_pair: Option<KeyPair>,
    c1: Block,
    /// The scheme and the digest of C1, if a digest was offered.
    c1_digest: Option<(Scheme, [u8; DIGEST_LEN])>,
    /// Random bytes until S1 determines the content.
    c2: Block,
    is_c2_sent: bool,
    outbox: BytesMut,
    summary: Option<Summary>,
    ciphers: Option<Ciphers>,
}

impl Handshake {
    /// Starts a handshake with C0 and C1 ready to be sent. `time_ms` is the client's clock, with
    /// any origin. If encryption is requested, a digest is offered regardless of `mode`.
    pub fn new(
        mode: Mode,
        encryption: Encryption,
        time_ms: u32,
        rng: &mut (impl Rng + ?Sized),
    ) -> Self {
        let is_encrypted = encryption != Encryption::None;
        let (version, c1_version, scheme) = match mode {
            _ if is_encrypted => (ENCRYPTED, ENCRYPTED_C1_VERSION, Some(Scheme::KeyFirst)),
            Mode::Plain => (PLAIN, PLAIN_C1_VERSION, None),
            Mode::Auto | Mode::Digest => (PLAIN, DIGEST_C1_VERSION, Some(Scheme::DigestFirst)),
        };
        let mut c1 = Block::with_header(time_ms, c1_version, rng);
        let key_pair = is_encrypted.then(|| KeyPair::new(rng));
        if let (Some(scheme), Some(pair)) = (scheme, &key_pair) {
            c1.put(scheme.key_position(&c1), *pair.public());
        }
        let c1_digest = scheme.map(|scheme| (scheme, digest::sign(&mut c1, scheme, Side::Client)));
        let mut outbox = BytesMut::with_capacity(1 + Block::LEN);
        outbox.extend_from_slice(&[version]);
        outbox.extend_from_slice(c1.as_bytes());
        Self {
            mode,
            encryption,
            key_pair,
            c1,
            c1_digest,
            c2: Block::random(rng),
            is_c2_sent: false,
            outbox,
            summary: None,
            ciphers: None,
        }
    }

    /// Appends the bytes to send to `out`: 1537 bytes after [`Handshake::new`], 1536 bytes once
    /// [`Handshake::receive`] has seen S1, and nothing otherwise.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.outbox);
        self.outbox.clear();
    }

    /// Consumes S0, S1 and S2 (3073 bytes) once the inbox contains all of them; later bytes stay in
    /// the inbox. Call it whenever bytes were added. After completion, further calls consume
    /// nothing and return the same result.
    ///
    /// # Errors
    ///
    /// An answer that is not RTMP is reported as soon as its first bytes show it. After an error
    /// the connection cannot be used.
    pub fn receive(&mut self, inbox: &mut BytesMut) -> Result<Progress, Error> {
        if let Some(summary) = self.summary {
            return Ok(Progress::Done(summary));
        }
        let Some(reply) = self.classify_reply(inbox)? else {
            return Ok(Progress::NeedsMore);
        };
        let mut input = Reader::new(inbox);
        let Ok(s1) = read_s1(&mut input) else {
            return Ok(Progress::NeedsMore);
        };
        let digests = self.check_s1(&s1, reply)?;
        let Ok(s2) = Block::read(&mut input, "S2") else {
            // S1 stays in the inbox, so that it is checked again. Its result does not change.
            self.send_c2();
            return Ok(Progress::NeedsMore);
        };
        inbox.advance(REPLY_LEN);
        let summary = match reply {
            Reply::Plain => self.finish_plain(&s1, &s2, digests),
            Reply::Encrypted(cipher) => self.finish_encrypted(&s1, &s2, digests, cipher)?,
        };
        debug!("handshake done: {summary}");
        self.send_c2();
        self.summary = Some(summary);
        Ok(Progress::Done(summary))
    }

    /// Returns the ciphers for everything after C2 and S2, if the handshake is complete and the
    /// session is encrypted. Only the first call returns them.
    pub fn take_ciphers(&mut self) -> Option<Ciphers> {
        self.ciphers.take()
    }

    /// Determines the kind of reply from S0, or an error as soon as the first bytes rule out RTMP.
    /// Returns `None` if more bytes are needed.
    fn classify_reply(&self, inbox: &[u8]) -> Result<Option<Reply>, Error> {
        match inbox {
            // The first byte of a TLS record could also be an unknown S0.
            [] | [TLS_ALERT | TLS_HANDSHAKE] => Ok(None),
            [TLS_ALERT | TLS_HANDSHAKE, TLS_MAJOR_VERSION, ..] => Err(Error::Tls),
            [first, ..] if is_printable(*first) => match TextAnswer::classify(inbox) {
                TextAnswer::Unfinished => Ok(None),
                TextAnswer::Line(error) => Err(error),
                TextAnswer::Binary => self.check_version(*first).map(Some),
            },
            [version, ..] => self.check_version(*version).map(Some),
        }
    }

    fn check_version(&self, version: u8) -> Result<Reply, Error> {
        let cipher = SignatureCipher::of_version(version);
        match (self.encryption, version, cipher) {
            (Encryption::Required, PLAIN, _) => Err(Error::NotEncrypted),
            (_, PLAIN, _) => Ok(Reply::Plain),
            (Encryption::None, ..) => Err(Error::Version(version)),
            (_, _, Some(cipher)) => Ok(Reply::Encrypted(cipher)),
            (_, _, None) => Err(Error::Type(version)),
        }
    }

    /// Checks S1 and builds C2, which depends on nothing else.
    fn check_s1(&mut self, s1: &Block, reply: Reply) -> Result<Option<Digests>, Error> {
        let digests = self.find_digests(s1);
        let (cipher, is_digest_required) = match reply {
            Reply::Plain => (SignatureCipher::None, self.mode == Mode::Digest),
            Reply::Encrypted(cipher) => (cipher, true),
        };
        match &digests {
            Some(Digests { server, .. }) => {
                digest::sign_reply(&mut self.c2, &server.bytes, Side::Client, cipher);
            }
            None if is_digest_required => return Err(Error::NoDigest),
            None => self.c2.clone_from(s1),
        }
        Ok(digests)
    }

    fn send_c2(&mut self) {
        if !self.is_c2_sent {
            self.is_c2_sent = true;
            self.outbox.extend_from_slice(self.c2.as_bytes());
        }
    }

    fn finish_plain(&self, s1: &Block, s2: &Block, digests: Option<Digests>) -> Summary {
        if self.encryption == Encryption::AllowPlain {
            warn!("the server does not encrypt: the session continues without encryption");
        }
        let is_echo = *s2 == self.c1;
        let server_signature = match &digests {
            Some(digests) => check_signature(s2, digests, SignatureCipher::None),
            None => {
                // A peer whose S2 is not an exact echo of C1 must not be rejected, although RTMP 5.2.4
                // requires the echo: many servers send random bytes.
                if !is_echo {
                    debug!("S2 is not an echo of C1");
                }
                ServerSignature::Absent
            }
        };
        Summary {
            is_echo,
            ..summarize(s1, digests.map(|digests| digests.server), server_signature)
        }
    }

    /// Agrees on keys. A server that cannot sign C1's digest is rejected.
    fn finish_encrypted(
        &mut self,
        s1: &Block,
        s2: &Block,
        digests: Option<Digests>,
        cipher: SignatureCipher,
    ) -> Result<Summary, Error> {
        let digests = digests.ok_or(Error::NoDigest)?;
        let server_signature = check_signature(s2, &digests, cipher);
        if server_signature != ServerSignature::Verified {
            return Err(Error::Signature);
        }
        let pair = self.key_pair.as_ref().ok_or(Error::NotEncrypted)?;
        let server_key = s1.field(digests.server.scheme.key_position(s1));
        let agreement = KeyAgreement::new(pair, &server_key).map_err(|_| Error::PublicKey)?;
        self.ciphers = Some(agreement.ciphers);
        Ok(Summary {
            encryption: Some(cipher),
            keys_may_differ: agreement.secret_has_leading_zero,
            ..summarize(s1, Some(digests.server), server_signature)
        })
    }

    /// Returns the digests of C1 and S1 if both have one. S1 is searched first with the scheme of
    /// C1.
    fn find_digests(&self, s1: &Block) -> Option<Digests> {
        let (scheme, client) = self.c1_digest?;
        let (scheme, bytes) = digest::find(s1, scheme, Side::Server)?;
        let server = ServerDigest { scheme, bytes };
        Some(Digests { client, server })
    }
}

/// The digests of C1 and S1.
#[derive(Debug, Clone, Copy)]
struct Digests {
    client: [u8; DIGEST_LEN],
    server: ServerDigest,
}

/// The kind of reply that S0 announces.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Plain,
    Encrypted(SignatureCipher),
}

/// The state after [`Handshake::receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// S2 has not arrived completely.
    NeedsMore,
    /// C2 is sent or ready to be sent, and chunks may follow it. The inbox starts with the server's
    /// first chunk.
    Done(Summary),
}

/// The result of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The time field of S1.
    pub server_time: u32,
    /// The digest of S1; `None` if S1 has none or none was offered.
    pub digest: Option<ServerDigest>,
    /// The version field of S1. It does not indicate whether S1 has a digest.
    pub server_version: [u8; 4],
    /// The check of the signature in S2.
    pub server_signature: ServerSignature,
    /// Whether S2 is an exact echo of C1.
    pub is_echo: bool,
    /// The last 32 bytes of S1, which are the key for the answer to SWF verification.
    pub s1_tail: [u8; 32],
    /// The cipher of the signatures in an encrypted session; `None` for a plain session.
    pub encryption: Option<SignatureCipher>,
    /// Whether the peers may have derived different keys: the shared secret starts with a zero byte
    /// (1 in 256 sessions), and some servers drop that byte. Neither side can then decode the
    /// other, and a new handshake with fresh keys is the remedy.
    pub keys_may_differ: bool,
}

impl fmt::Display for Summary {
    /// Writes the facts for the log: `digest scheme 0, server version 3.5.1.1, signature verified`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digest.map(|digest| digest.scheme) {
            Some(Scheme::DigestFirst) => f.write_str("digest scheme 0")?,
            Some(Scheme::KeyFirst) => f.write_str("digest scheme 1")?,
            None => f.write_str("no digest")?,
        }
        let [a, b, c, d] = self.server_version;
        write!(f, ", server version {a}.{b}.{c}.{d}, ")?;
        f.write_str(match self.server_signature {
            ServerSignature::Verified => "signature verified",
            ServerSignature::Wrong => "wrong signature",
            ServerSignature::Absent => "no signature",
        })?;
        match self.encryption {
            Some(SignatureCipher::None) => f.write_str(", encrypted (type 6)"),
            Some(SignatureCipher::Xtea) => f.write_str(", encrypted (type 8)"),
            Some(SignatureCipher::Blowfish) => f.write_str(", encrypted (type 9)"),
            None => Ok(()),
        }
    }
}

/// A verified digest of S1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerDigest {
    /// The scheme with which the digest was found.
    pub scheme: Scheme,
    /// The digest.
    pub bytes: [u8; DIGEST_LEN],
}

/// The check of S2 against the digest of C1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSignature {
    /// S2 is signed.
    Verified,
    /// S1 has a digest, but the signature of S2 is wrong. A plain session does not depend on it.
    Wrong,
    /// S1 has no digest, so S2 is expected to be an echo.
    Absent,
}

/// A reply to C0 and C1 that rules out a session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The reply is text, as in SSH, RTSP, SMTP, FTP and HTTP. Holds its first printable characters.
    #[error("the server answers in text (`{0}`), not RTMP")]
    Text(String),
    /// The reply is a TLS record: the server expects rtmps.
    #[error("the server answered with TLS instead of RTMP: the port may serve rtmps")]
    Tls,
    /// S0 is not the version of C0 (RTMP 5.2.2).
    #[error("the server answered with handshake version {0} ({0:#04x}) instead of 3")]
    Version(u8),
    /// S0 is neither 3 nor a known type of encrypted handshake.
    #[error(
        "the server answered with unknown handshake type {0} ({0:#04x}); known types are 6, 8 and 9"
    )]
    Type(u8),
    /// S0 is 3 although [`Encryption::Required`] was requested.
    #[error("the server does not encrypt: it answered with a plain handshake")]
    NotEncrypted,
    /// S1 has no valid digest, which [`Mode::Digest`] and encryption require.
    #[error("the server answered without a valid handshake digest")]
    NoDigest,
    /// S2 of an encrypted handshake does not sign C1's digest.
    #[error("the handshake signature of the server is invalid")]
    Signature,
    /// S1 of an encrypted handshake contains an unsafe public key.
    #[error("the public key of the server is invalid")]
    PublicKey,
}

/// Reads S0 and S1 and returns S1.
fn read_s1(input: &mut Reader<'_>) -> Result<Block, Missing> {
    input.u8("S0")?;
    Block::read(input, "S1")
}

/// Checks the signature of S2.
fn check_signature(s2: &Block, digests: &Digests, cipher: SignatureCipher) -> ServerSignature {
    if digest::verify_reply(s2, &digests.client, Side::Server, cipher) {
        return ServerSignature::Verified;
    }
    debug!("wrong signature in S2");
    ServerSignature::Wrong
}

fn summarize(
    s1: &Block,
    digest: Option<ServerDigest>,
    server_signature: ServerSignature,
) -> Summary {
    Summary {
        digest,
        server_time: s1.time_ms(),
        server_version: s1.version(),
        server_signature,
        is_echo: false,
        s1_tail: s1.field(Block::LEN - DIGEST_LEN),
        encryption: None,
        keys_may_differ: false,
    }
}

/// C0 and S0 of RTMP (RTMP 5.2.2).
pub(in crate::core::rtmp) const PLAIN: u8 = 3;

/// C0 of an encrypted session. The server chooses S0.
const ENCRYPTED: u8 = 6;

/// Length of S0, S1 and S2.
const REPLY_LEN: usize = 1 + 2 * Block::LEN;

/// Version field of a C1 without a digest. RTMP 5.2.3: the field must be zero.
const PLAIN_C1_VERSION: [u8; 4] = [0, 0, 0, 0];

/// Version field of a C1 with a digest. Servers look for a digest only if it is not zero.
const DIGEST_C1_VERSION: [u8; 4] = [10, 0, 45, 2];

/// Version field of a C1 with a digest and a public key.
const ENCRYPTED_C1_VERSION: [u8; 4] = [128, 0, 3, 2];

/// Content types of a TLS record that a server can send first, and the major version byte of SSL
/// 3.0 to TLS 1.3.
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR_VERSION: u8 = 3;

#[cfg(test)]
mod tests;
