//! Handshake of a client with a made-up answer, shared by both handshake targets.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use rand::{SeedableRng, rngs::StdRng};
use rtmpull::core::rtmp::handshake::{
    Error, Handshake, Mode, Progress, ServerSignature, Summary,
    block::Block,
    digest::{self, Scheme, Side},
    encryption::{Encryption, SignatureCipher, dh::KeyPair},
};

use crate::pieces::pieces;

/// Server's answer to C0 and C1.
#[derive(Debug, Arbitrary)]
pub(crate) enum Answer<'a> {
    Bytes(&'a [u8]),
    Unencrypted {
        seed: u8,
        version: [u8; 4],
        digest: Option<Position>,
        is_signed: bool,
        /// First bytes of S1, written before the digest.
        start_of_s1: &'a [u8],
        rest: &'a [u8],
    },
    Encrypted {
        seed: u8,
        kind: Kind,
        position: Position,
        /// Offset and bit mask of one changed byte.
        flaw: Option<(u16, u8)>,
        rest: &'a [u8],
    },
}

/// Handshake type of an encrypted answer.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Kind {
    Unchanged,
    Xtea,
    Blowfish,
    Unknown(u8),
}

/// Position of the digest in S1.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Position {
    DigestFirst,
    KeyFirst,
}

/// Checks that the client receives `answer` identically at once and in pieces, and that it accepts
/// a valid answer.
pub(crate) fn check(mode: Mode, encryption: Encryption, cut: u8, answer: Answer<'_>) {
    let exchange = Exchange::new(mode, encryption);
    match answer {
        Answer::Bytes(bytes) => {
            let _ = exchange.receive_both_ways(bytes, cut);
        }
        Answer::Unencrypted {
            seed,
            version,
            digest,
            is_signed,
            start_of_s1,
            rest,
        } => {
            let s1 = s1(seed, version, start_of_s1, digest);
            let s2 = s2(seed, &exchange.c1(), is_signed);
            let answer = [&[3], &s1.as_bytes()[..], &s2.as_bytes()[..], rest].concat();
            let (exchange, result) = exchange.receive_both_ways(&answer, cut);
            if encryption == Encryption::Required {
                return assert_eq!(result, Err(Error::NotEncrypted));
            }
            if result.is_ok() {
                assert_eq!(exchange.inbox, rest);
            }
            check_unencrypted(&exchange, &s1, digest, is_signed, result);
        }
        Answer::Encrypted {
            seed,
            kind,
            position,
            flaw,
            rest,
        } => {
            let mut answer = encrypted(seed, kind, position, &exchange.c1());
            answer.extend_from_slice(rest);
            let flaw = flaw.filter(|(at, mask)| usize::from(*at) < ANSWER_LEN && *mask != 0);
            if let Some((at, mask)) = flaw {
                answer[usize::from(at)] ^= mask;
            }
            let (_, result) = exchange.receive_both_ways(&answer, cut);
            let is_known = !matches!(kind, Kind::Unknown(_));
            if encryption == Encryption::None || !is_known || flaw.is_some() {
                return;
            }
            let summary = result.expect("a valid answer").expect("a complete answer");
            assert_eq!(
                summary.encryption,
                SignatureCipher::of_version(kind.version())
            );
            assert_eq!(summary.server_signature, ServerSignature::Verified);
        }
    }
}

/// Client and the bytes between it and the server.
struct Exchange {
    mode: Mode,
    encryption: Encryption,
    handshake: Handshake,
    inbox: BytesMut,
    sent: BytesMut,
}

impl Exchange {
    /// Starts a client. All clients are equal, since they have the same seed.
    fn new(mode: Mode, encryption: Encryption) -> Self {
        let mut rng = StdRng::seed_from_u64(0);
        let mut exchange = Self {
            mode,
            encryption,
            handshake: Handshake::new(mode, encryption, 0, &mut rng),
            inbox: BytesMut::new(),
            sent: BytesMut::new(),
        };
        exchange.handshake.poll_transmit(&mut exchange.sent);
        assert_eq!(exchange.sent.len(), 1 + Block::LEN);
        exchange
    }

    fn c1(&self) -> Block {
        block(&self.sent[1..])
    }

    /// Receives `answer` at once, and in pieces with a second client; panics if the results differ.
    fn receive_both_ways(
        mut self,
        answer: &[u8],
        cut: u8,
    ) -> (Self, Result<Option<Summary>, Error>) {
        let mut in_pieces = Self::new(self.mode, self.encryption);
        let result = self.receive([answer].into_iter());
        assert_eq!(result, in_pieces.receive(pieces(answer, cut)));
        // C2 follows S1 at once in pieces, and a checked S2 otherwise.
        if result.is_ok() {
            assert_eq!(self.sent, in_pieces.sent);
            assert_eq!(self.inbox, in_pieces.inbox);
        }
        (self, result)
    }

    fn receive<'a>(
        &mut self,
        reads: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Summary>, Error> {
        let mut summary = None;
        for read in reads {
            self.inbox.extend_from_slice(read);
            let progress = self.handshake.receive(&mut self.inbox)?;
            self.handshake.poll_transmit(&mut self.sent);
            match progress {
                Progress::NeedsMore => {
                    let blocks = if self.inbox.len() > Block::LEN { 2 } else { 1 };
                    assert_eq!(self.sent.len(), 1 + blocks * Block::LEN);
                }
                Progress::Done(done) => {
                    assert_eq!(self.sent.len(), 1 + 2 * Block::LEN);
                    assert_eq!(*summary.get_or_insert(done), done);
                }
            }
        }
        Ok(summary)
    }
}

impl Kind {
    fn version(self) -> u8 {
        match self {
            Self::Unchanged => 6,
            Self::Xtea => 8,
            Self::Blowfish => 9,
            Self::Unknown(version) => version,
        }
    }
}

impl Position {
    fn scheme(self) -> Scheme {
        match self {
            Self::DigestFirst => Scheme::DigestFirst,
            Self::KeyFirst => Scheme::KeyFirst,
        }
    }
}

fn s1(seed: u8, version: [u8; 4], start: &[u8], digest: Option<Position>) -> Block {
    let mut rng = StdRng::seed_from_u64(1 + u64::from(seed));
    let mut bytes = *Block::with_header(0, version, &mut rng).as_bytes();
    bytes
        .iter_mut()
        .zip(start)
        .for_each(|(to, from)| *to = *from);
    let mut s1 = Block::from(bytes);
    if let Some(position) = digest {
        digest::sign(&mut s1, position.scheme(), Side::Server);
    }
    s1
}

/// Returns a signature over the digest of C1, or a copy of C1.
fn s2(seed: u8, c1: &Block, is_signed: bool) -> Block {
    let found = digest::find(c1, Scheme::DigestFirst, Side::Client);
    let Some((_, c1_digest)) = found.filter(|_| is_signed) else {
        return c1.clone();
    };
    let mut s2 = Block::random(&mut StdRng::seed_from_u64(1000 + u64::from(seed)));
    digest::sign_reply(&mut s2, &c1_digest, Side::Server, SignatureCipher::None);
    s2
}

/// Returns S0, S1 and S2 of a valid encrypted answer. The session ciphers are not checked.
fn encrypted(seed: u8, kind: Kind, position: Position, c1: &Block) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(2000 + u64::from(seed));
    let scheme = position.scheme();
    let mut bytes = *Block::with_header(0, [5, 0, 17, 1], &mut rng).as_bytes();
    let at = scheme.key_position(&bytes.into());
    let key = &PUBLIC_KEYS[usize::from(seed) % PUBLIC_KEYS.len()];
    bytes[at..at + key.len()].copy_from_slice(key);
    let mut s1 = Block::from(bytes);
    digest::sign(&mut s1, scheme, Side::Server);
    let mut s2 = Block::random(&mut rng);
    if let Some((_, c1_digest)) = digest::find(c1, Scheme::KeyFirst, Side::Client) {
        let cipher = SignatureCipher::of_version(kind.version()).unwrap_or_default();
        digest::sign_reply(&mut s2, &c1_digest, Side::Server, cipher);
    }
    [&[kind.version()], &s1.as_bytes()[..], s2.as_bytes()].concat()
}

fn check_unencrypted(
    exchange: &Exchange,
    s1: &Block,
    digest: Option<Position>,
    is_signed: bool,
    result: Result<Option<Summary>, Error>,
) {
    let expected = digest.filter(|_| exchange.mode != Mode::Plain);
    if expected.is_none() && exchange.mode == Mode::Digest {
        return assert_eq!(result, Err(Error::NoDigest));
    }
    let summary = result.expect("a valid answer").expect("a complete answer");
    let c2 = block(&exchange.sent[1 + Block::LEN..]);
    let Some(position) = expected else {
        assert_eq!(summary.digest, None);
        assert_eq!(summary.server_signature, ServerSignature::Absent);
        return assert_eq!(c2, *s1);
    };
    let found = summary.digest.expect("a digest");
    assert_eq!(found.scheme, position.scheme());
    assert!(digest::verify_reply(
        &c2,
        &found.bytes,
        Side::Client,
        SignatureCipher::None
    ));
    let signature = match is_signed {
        true => ServerSignature::Verified,
        false => ServerSignature::Wrong,
    };
    assert_eq!(summary.server_signature, signature);
}

fn block(bytes: &[u8]) -> Block {
    let bytes: [u8; Block::LEN] = bytes.try_into().expect("a block");
    bytes.into()
}

/// Public keys of the server, created once because a key takes milliseconds.
static PUBLIC_KEYS: LazyLock<Vec<[u8; 128]>> = LazyLock::new(|| {
    let keys = (0..4).map(|seed| *KeyPair::new(&mut StdRng::seed_from_u64(seed)).public());
    keys.collect()
});

/// Length of S0, S1 and S2.
const ANSWER_LEN: usize = 1 + 2 * Block::LEN;
