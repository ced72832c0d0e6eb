//! The handshake: how bytes are cut into reads changes nothing, and an answer by the book is
//! understood as what it is.

#![no_main]

mod pieces;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pieces::pieces;
use rand::{SeedableRng, rngs::StdRng};
use rtmpull::core::rtmp::handshake::{Error, Handshake, Mode, Progress, ServerSignature, Summary, block::Block, digest::{self, Scheme, Side}, encryption::{Encryption, SignatureCipher, dh::KeyPair}};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    offer: Offer,
    cut: u8,
    answer: Answer<'a>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Offer {
    Auto,
    Plain,
    Digest,
    Encrypted,
    EncryptedIfPossible,
}

#[derive(Debug, Arbitrary)]
enum Answer<'a> {
    Bytes(&'a [u8]),
    ByTheBook {
        seed: u8,
        version: [u8; 4],
        digest: Option<Place>,
        is_signed: bool,
        /// Over the random bytes, before the digest is written.
        start_of_s1: &'a [u8],
        behind: &'a [u8],
    },
    Encrypted {
        seed: u8,
        kind: Kind,
        place: Place,
        /// One byte of the answer that is another one.
        flaw: Option<(u16, u8)>,
        behind: &'a [u8],
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Unchanged,
    Xtea,
    Blowfish,
    Unknown(u8),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Place {
    DigestFirst,
    KeyFirst,
}

fuzz_target!(|input: Input<'_>| {
    let offer = input.offer;
    let c1 = ScriptedPeer::new(offer).c1();
    match input.answer {
        Answer::Bytes(bytes) => {
            let _ = compare(offer, bytes, input.cut);
        }
        Answer::ByTheBook {
            seed,
            version,
            digest,
            is_signed,
            start_of_s1,
            behind,
        } => {
            let s1 = s1(seed, version, start_of_s1, digest);
            let s2 = s2(seed, &c1, is_signed);
            let answer = [&[3], &s1.as_bytes()[..], &s2.as_bytes()[..], behind].concat();
            let (conversation, result) = compare(offer, &answer, input.cut);
            if offer.encryption() == Encryption::Required {
                return assert_eq!(result, Err(Error::NotEncrypted));
            }
            check(offer.mode(), &s1, digest, is_signed, &conversation, result);
            if result.is_ok() {
                assert_eq!(conversation.inbox, behind);
            }
        }
        Answer::Encrypted {
            seed,
            kind,
            place,
            flaw,
            behind,
        } => {
            let mut answer = encrypted(seed, kind, place, &c1);
            answer.extend_from_slice(behind);
            let flaw = flaw.filter(|(at, flip)| usize::from(*at) < ANSWER_LEN && *flip != 0);
            if let Some((at, flip)) = flaw {
                answer[usize::from(at)] ^= flip;
            }
            let (_, result) = compare(offer, &answer, input.cut);
            let is_known = !matches!(kind, Kind::Unknown(_));
            if offer.encryption() == Encryption::None || !is_known || flaw.is_some() {
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
});

impl Offer {
    fn mode(self) -> Mode {
        match self {
            Self::Plain => Mode::Plain,
            Self::Digest => Mode::Digest,
            Self::Auto | Self::Encrypted | Self::EncryptedIfPossible => Mode::Auto,
        }
    }

    fn encryption(self) -> Encryption {
        match self {
            Self::Encrypted => Encryption::Required,
            Self::EncryptedIfPossible => Encryption::AllowPlain,
            Self::Auto | Self::Plain | Self::Digest => Encryption::None,
        }
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

/// A client, and what lies between it and the server.
struct ScriptedPeer {
    handshake: Handshake,
    inbox: BytesMut,
    sent: BytesMut,
}

impl ScriptedPeer {
    fn new(offer: Offer) -> Self {
        let mut rng = StdRng::seed_from_u64(0);
        let mut conversation = Self {
            handshake: Handshake::new(offer.mode(), offer.encryption(), 0, &mut rng),
            inbox: BytesMut::new(),
            sent: BytesMut::new(),
        };
        conversation.handshake.poll_transmit(&mut conversation.sent);
        assert_eq!(conversation.sent.len(), 1 + Block::LEN);
        conversation
    }

    fn c1(&self) -> Block {
        block(&self.sent[1..])
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
                Progress::NeedsMore => assert_eq!(self.sent.len(), 1 + Block::LEN),
                Progress::Done(done) => {
                    assert_eq!(self.sent.len(), 1 + 2 * Block::LEN);
                    assert_eq!(*summary.get_or_insert(done), done);
                }
            }
        }
        Ok(summary)
    }
}

/// Receives whole and in pieces, and expects no difference.
fn compare(offer: Offer, answer: &[u8], cut: u8) -> (ScriptedPeer, Result<Option<Summary>, Error>) {
    let (mut whole, mut in_pieces) = (ScriptedPeer::new(offer), ScriptedPeer::new(offer));
    let result = whole.receive([answer].into_iter());
    assert_eq!(result, in_pieces.receive(pieces(answer, cut)));
    assert_eq!(whole.sent, in_pieces.sent);
    if result.is_ok() {
        assert_eq!(whole.inbox, in_pieces.inbox);
    }
    (whole, result)
}

fn s1(seed: u8, version: [u8; 4], start: &[u8], digest: Option<Place>) -> Block {
    let mut rng = StdRng::seed_from_u64(1 + u64::from(seed));
    let mut bytes = *Block::with_header(0, version, &mut rng).as_bytes();
    bytes
        .iter_mut()
        .zip(start)
        .for_each(|(to, from)| *to = *from);
    let mut s1 = Block::from(bytes);
    if let Some(place) = digest {
        digest::sign(&mut s1, place.scheme(), Side::Server);
    }
    s1
}

impl Place {
    fn scheme(self) -> Scheme {
        match self {
            Self::DigestFirst => Scheme::DigestFirst,
            Self::KeyFirst => Scheme::KeyFirst,
        }
    }
}

/// Signed for a digest of C1, or its echo.
fn s2(seed: u8, c1: &Block, is_signed: bool) -> Block {
    let found = digest::find(c1, Scheme::DigestFirst, Side::Client);
    let Some((_, c1_digest)) = found.filter(|_| is_signed) else {
        return c1.clone();
    };
    let mut s2 = Block::random(&mut StdRng::seed_from_u64(1000 + u64::from(seed)));
    digest::sign_reply(&mut s2, &c1_digest, Side::Server, SignatureCipher::None);
    s2
}

/// S0, S1 and S2 by the book; nobody else can know the keys of it, but that is not looked at here.
fn encrypted(seed: u8, kind: Kind, place: Place, c1: &Block) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(2000 + u64::from(seed));
    let scheme = place.scheme();
    let mut bytes = *Block::with_header(0, [5, 0, 17, 1], &mut rng).as_bytes();
    let at = scheme.key_position(&bytes.into());
    bytes[at..at + 128].copy_from_slice(KeyPair::new(&mut rng).public());
    let mut s1 = Block::from(bytes);
    digest::sign(&mut s1, scheme, Side::Server);
    let mut s2 = Block::random(&mut rng);
    if let Some((_, c1_digest)) = digest::find(c1, Scheme::KeyFirst, Side::Client) {
        let cipher = SignatureCipher::of_version(kind.version()).unwrap_or_default();
        digest::sign_reply(&mut s2, &c1_digest, Side::Server, cipher);
    }
    [&[kind.version()], &s1.as_bytes()[..], s2.as_bytes()].concat()
}

fn check(
    mode: Mode,
    s1: &Block,
    digest: Option<Place>,
    is_signed: bool,
    conversation: &ScriptedPeer,
    result: Result<Option<Summary>, Error>,
) {
    let is_found = digest.filter(|_| mode != Mode::Plain);
    if is_found.is_none() && mode == Mode::Digest {
        return assert_eq!(result, Err(Error::NoDigest));
    }
    let summary = result.expect("a valid answer").expect("a complete answer");
    let c2 = block(&conversation.sent[1 + Block::LEN..]);
    let Some(place) = is_found else {
        assert_eq!(summary.digest, None);
        assert_eq!(summary.server_signature, ServerSignature::Absent);
        return assert_eq!(c2, *s1);
    };
    let found = summary.digest.expect("a digest");
    assert_eq!(found.scheme, place.scheme());
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

/// S0, S1 and S2.
const ANSWER_LEN: usize = 1 + 2 * Block::LEN;
