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
//!
//! S0 says what kind of handshake it is:
//!
//! | C0 | S0 | then |
//! | --- | --- | --- |
//! | 3 | 3 | the session is in the clear, signed or not |
//! | 6 | 6, 8, 9 | it is encrypted; the signatures as they are, or enciphered with XTEA or Blowfish |
//! | 6 | 3 | the server does not encrypt, whether it signs or not |
//!
//! For an [`encryption`], C1 and S1 hold a public key each beside their digests. Nothing of the
//! handshake itself is encrypted, and everything behind C2 and S2 is.

pub mod block;
pub mod digest;
pub mod encryption;

use bytes::{Buf, BytesMut};
use rand::Rng;
use thiserror::Error;
use tracing::{debug, warn};

use self::{
    block::Block,
    digest::{DIGEST_LEN, Scheme, Side},
    encryption::{Ciphers, Encryption, KeyAgreement, SignatureCipher, dh::KeyPair},
};
use crate::core::wire::{Missing, Reader};

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
    encryption: Encryption,
    /// Our half of an encryption, where one was asked for.
    key_pair: Option<KeyPair>,
    c1: Block,
    /// Where C1's digest stands, and the digest, where one was offered.
    c1_digest: Option<(Scheme, [u8; DIGEST_LEN])>,
    /// Random, until S1 says what it has to be.
    c2: Block,
    outbox: BytesMut,
    summary: Option<Summary>,
    ciphers: Option<Ciphers>,
}

impl Handshake {
    /// Starts with C0 and C1 to be sent. `time_ms` is the client's clock, from wherever it counts.
    /// Where an encryption is asked for, a digest is offered whatever `mode` says.
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
            outbox,
            summary: None,
            ciphers: None,
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
        let Some(reply) = self.classify_reply(inbox)? else {
            return Ok(Progress::NeedsMore);
        };
        let Ok((s1, s2)) = read_reply(inbox) else {
            return Ok(Progress::NeedsMore);
        };
        inbox.advance(REPLY_LEN);
        let summary = match reply {
            Reply::Plain => self.finish_plain(&s1, &s2)?,
            Reply::Encrypted(cipher) => self.finish_encrypted(&s1, &s2, cipher)?,
        };
        debug!(
            scheme = ?summary.digest.map(|digest| digest.scheme),
            version = ?summary.server_version,
            signature = ?summary.server_signature,
            encryption = ?summary.encryption,
            "handshake done"
        );
        self.outbox.extend_from_slice(self.c2.as_bytes());
        self.summary = Some(summary);
        Ok(Progress::Done(summary))
    }

    /// What everything behind C2 and S2 is encrypted with, once the handshake is done and if it is
    /// encrypted at all. They are handed out once.
    pub fn take_ciphers(&mut self) -> Option<Ciphers> {
        self.ciphers.take()
    }

    /// Tells from S0 what follows, or that it is nothing that a server of RTMP sends, as early as the
    /// bytes that are here can tell it.
    fn classify_reply(&self, inbox: &[u8]) -> Result<Option<Reply>, Error> {
        match inbox {
            [] | [TLS_ALERT | TLS_HANDSHAKE] => Ok(None),
            [TLS_ALERT | TLS_HANDSHAKE, TLS_MAJOR_VERSION, ..] => Err(Error::Tls),
            _ if inbox.starts_with(HTTP) => Err(Error::Http),
            _ if HTTP.starts_with(inbox) => Ok(None),
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

    /// Chooses C2 and looks at S2.
    fn finish_plain(&mut self, s1: &Block, s2: &Block) -> Result<Summary, Error> {
        if self.encryption == Encryption::AllowPlain {
            warn!("the server does not encrypt, all that follows goes in the clear");
        }
        let digests = self.find_digests(s1);
        let server_signature = match &digests {
            Some((client_digest, server_digest)) => {
                self.sign(s2, client_digest, server_digest, SignatureCipher::None)
            }
            None if self.mode == Mode::Digest => return Err(Error::NoDigest),
            None => {
                self.c2.clone_from(s1);
                self.check_echo(s2)
            }
        };
        let digest = digests.map(|(_, server_digest)| server_digest);
        Ok(summarize(s1, digest, server_signature))
    }

    /// Agrees on keys. A server that is not the one that C1 went to is not spoken to.
    fn finish_encrypted(
        &mut self,
        s1: &Block,
        s2: &Block,
        cipher: SignatureCipher,
    ) -> Result<Summary, Error> {
        let (client_digest, server_digest) = self.find_digests(s1).ok_or(Error::NoDigest)?;
        let server_signature = self.sign(s2, &client_digest, &server_digest, cipher);
        if server_signature != ServerSignature::Verified {
            return Err(Error::Signature);
        }
        let pair = self.key_pair.as_ref().ok_or(Error::NotEncrypted)?;
        let server_key = s1.field(server_digest.scheme.key_position(s1));
        let agreement = KeyAgreement::new(pair, &server_key).map_err(|_| Error::PublicKey)?;
        self.ciphers = Some(agreement.ciphers);
        Ok(Summary {
            encryption: Some(cipher),
            keys_may_differ: agreement.secret_has_leading_zero,
            ..summarize(s1, Some(server_digest), server_signature)
        })
    }

    /// The digests of C1 and S1, where both have one. S1's is looked for first where C1 has its client_digest.
    fn find_digests(&self, s1: &Block) -> Option<([u8; DIGEST_LEN], ServerDigest)> {
        let (scheme, client_digest) = self.c1_digest?;
        let (scheme, bytes) = digest::find(s1, scheme, Side::Server)?;
        Some((client_digest, ServerDigest { scheme, bytes }))
    }

    /// Signs C2 and says whether S2 is signed too.
    fn sign(
        &mut self,
        s2: &Block,
        client_digest: &[u8; DIGEST_LEN],
        server_digest: &ServerDigest,
        cipher: SignatureCipher,
    ) -> ServerSignature {
        digest::sign_reply(&mut self.c2, &server_digest.bytes, Side::Client, cipher);
        if digest::verify_reply(s2, client_digest, Side::Server, cipher) {
            return ServerSignature::Verified;
        }
        debug!(?s2, "wrong signature in S2");
        ServerSignature::Wrong
    }

    /// ERR: a peer whose S2 is not an exact echo must not be rejected.
    fn check_echo(&self, s2: &Block) -> ServerSignature {
        if *s2 != self.c1 {
            debug!(?s2, "S2 is no echo of C1");
        }
        ServerSignature::Absent
    }
}

/// What S0 announces.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Plain,
    Encrypted(SignatureCipher),
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
    /// How the signatures of an encrypted session are enciphered; `None` if it goes in the clear.
    pub encryption: Option<SignatureCipher>,
    /// Whether the secret of an encrypted session begins with a zero byte, as one in 256 does. Some
    /// servers leave that byte out, and make other keys of what remains: what follows makes no sense
    /// then, to neither side, and a handshake with fresh keys is the way out.
    pub keys_may_differ: bool,
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
    /// An S0 that is neither 3 nor an encrypted handshake that is known.
    #[error("server answered with handshake type {0} ({0:#04x}); 6, 8 and 9 are known")]
    Type(u8),
    /// [`Encryption::Required`], and S0 is 3.
    #[error("server does not encrypt: it answered with a plain handshake")]
    NotEncrypted,
    /// [`Mode::Digest`] or an encrypted handshake, and S1 has no valid digest.
    #[error("server answered without a valid handshake digest")]
    NoDigest,
    /// An encrypted handshake, and S2 does not answer C1's digest.
    #[error("server's handshake signature is wrong")]
    Signature,
    /// An encrypted handshake, and S1 holds a number that is not safe to use as a public key.
    #[error("server's public key is invalid")]
    PublicKey,
}

/// S1 and S2, if all of them is here.
fn read_reply(inbox: &[u8]) -> Result<(Block, Block), Missing> {
    let mut reader = Reader::new(inbox);
    reader.u8("S0")?;
    let s1 = Block::read(&mut reader, "S1")?;
    let s2 = Block::read(&mut reader, "S2")?;
    Ok((s1, s2))
}

fn summarize(
    s1: &Block,
    digest: Option<ServerDigest>,
    server_signature: ServerSignature,
) -> Summary {
    Summary {
        digest,
        server_version: s1.version(),
        server_signature,
        s1_tail: s1.field(Block::LEN - DIGEST_LEN),
        encryption: None,
        keys_may_differ: false,
    }
}

/// C0 and S0 of RTMP (RTMP 5.2.2).
const PLAIN: u8 = 3;

/// C0 of an encrypted session. S0 is this or another one, as the server chooses.
const ENCRYPTED: u8 = 6;

/// S0, S1 and S2.
const REPLY_LEN: usize = 1 + 2 * Block::LEN;

/// The version field of a C1 without a digest.
const PLAIN_C1_VERSION: [u8; 4] = [0, 0, 0, 0];

/// The version field of a C1 with one. Servers look for a digest only where it is not zero.
const DIGEST_C1_VERSION: [u8; 4] = [10, 0, 45, 2];

/// The version field of a C1 with a digest and a public key.
const ENCRYPTED_C1_VERSION: [u8; 4] = [128, 0, 3, 2];

/// How an answer in HTTP begins.
const HTTP: &[u8] = b"HTTP/";

/// The content types of a TLS record that can be the first one from a server, and the version byte
/// that follows in all of SSL 3.0 … TLS 1.3.
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR_VERSION: u8 = 3;

#[cfg(test)]
mod tests;
