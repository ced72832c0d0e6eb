//! Digests in C1 and S1, and signatures in C2 and S2. They are not specified; servers of the Flash
//! Media Server family require them.
//!
//! A block consists of time and version, then two areas whose order depends on the [`Scheme`]:
//!
//! ```text
//! digest area, 764 bytes                      key area, 764 bytes
//! ┌────────┬──────┬───────────┬──────┐        ┌──────┬──────────────┬──────┬────────┐
//! │ offset │ fill │ digest 32 │ fill │        │ fill │ public key   │ fill │ offset │
//! │ 4      │      │           │      │        │      │ 128          │      │ 4      │
//! └────────┴──────┴───────────┴──────┘        └──────┴──────────────┴──────┴────────┘
//! ```
//!
//! The sum of the four offset bytes gives the position of the digest in its area. The digest is an
//! HMAC-SHA256 over the block without the 32 bytes of the digest.

use ::hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{
    block::Block,
    encryption::{SignatureCipher, dh::KEY_LEN},
    hmac::{hmac, hmac_sha256},
};

/// Length of a digest and of a signature.
pub const DIGEST_LEN: usize = 32;

/// The order of the two areas of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Scheme 0, used by plain rtmp: the digest area is first.
    DigestFirst,
    /// Scheme 1, used by encrypted sessions: the key area is first.
    KeyFirst,
}

impl Scheme {
    /// Returns the other scheme.
    pub fn other(self) -> Self {
        match self {
            Self::DigestFirst => Self::KeyFirst,
            Self::KeyFirst => Self::DigestFirst,
        }
    }

    /// Returns the position of the digest in `block`: 12 to 739, or 776 to 1503.
    pub fn digest_position(self, block: &Block) -> usize {
        let area = match self {
            Self::DigestFirst => FIRST_AREA_AT,
            Self::KeyFirst => SECOND_AREA_AT,
        };
        area.saturating_add(OFFSET_LEN)
            .saturating_add(offset(block, area) % DIGEST_POSITIONS)
    }

    /// Returns the position of the public key in `block`: 772 to 1403, or 8 to 639.
    pub fn key_position(self, block: &Block) -> usize {
        let area = match self {
            Self::DigestFirst => SECOND_AREA_AT,
            Self::KeyFirst => FIRST_AREA_AT,
        };
        let offset_position = area.saturating_add(AREA_LEN - OFFSET_LEN);
        area.saturating_add(offset(block, offset_position) % KEY_POSITIONS)
    }
}

/// The sender of a block, which determines the key that signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client, which sends C1 and C2.
    Client,
    /// The server, which sends S1 and S2.
    Server,
}

impl Side {
    /// Returns the key for the digest of C1 or S1.
    fn digest_key(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_KEY,
            Self::Server => SERVER_KEY,
        }
    }

    /// Returns the key for the signature of C2 or S2.
    fn signature_key(self) -> Vec<u8> {
        [self.digest_key(), KEY_SUFFIX].concat()
    }
}

/// Writes the digest of C1 or S1 at the position that `scheme` defines, and returns it.
pub fn sign(block: &mut Block, scheme: Scheme, side: Side) -> [u8; DIGEST_LEN] {
    let position = scheme.digest_position(block);
    let digest = hmac_without_digest(block, position, side)
        .finalize()
        .into_bytes();
    block.put(position, digest.into());
    digest.into()
}

/// Returns the digest of C1 or S1 if it is valid at the position that `scheme` defines.
pub fn verify(block: &Block, scheme: Scheme, side: Side) -> Option<[u8; DIGEST_LEN]> {
    let position = scheme.digest_position(block);
    let digest = block.field(position);
    let authentic = hmac_without_digest(block, position, side).verify_slice(&digest);
    authentic.is_ok().then_some(digest)
}

/// Finds the digest of C1 or S1 with either scheme, trying `first` first.
///
/// The version field is ignored: some servers send a digest with version 0, and others set a
/// version without a digest.
pub fn find(block: &Block, first: Scheme, side: Side) -> Option<(Scheme, [u8; DIGEST_LEN])> {
    [first, first.other()]
        .into_iter()
        .find_map(|scheme| Some((scheme, verify(block, scheme, side)?)))
}

/// Signs a C2 or S2: the last 32 bytes are computed from `peer_digest`, the digest of the peer's S1
/// or C1.
pub fn sign_reply(
    block: &mut Block,
    peer_digest: &[u8; DIGEST_LEN],
    side: Side,
    cipher: SignatureCipher,
) {
    block.put(SIGNATURE_AT, signature(block, peer_digest, side, cipher));
}

/// Returns true if C2 or S2 is signed by `side` for `digest`, the digest of the other side's S1 or
/// C1. The keys are public, so the comparison does not need constant time.
pub fn verify_reply(
    block: &Block,
    digest: &[u8; DIGEST_LEN],
    side: Side,
    cipher: SignatureCipher,
) -> bool {
    block.field(SIGNATURE_AT) == signature(block, digest, side, cipher)
}

/// Returns the last 32 bytes of C2 or S2, computed from the bytes before them.
fn signature(
    block: &Block,
    peer_digest: &[u8; DIGEST_LEN],
    side: Side,
    cipher: SignatureCipher,
) -> [u8; DIGEST_LEN] {
    let key = reply_key(peer_digest, side);
    let signed = block.as_bytes().get(..SIGNATURE_AT).unwrap_or_default();
    let mut signature = hmac_sha256(&key, signed);
    cipher.apply(&mut signature, &key);
    signature
}

/// Returns the key of one signature, derived from the digest that it answers.
fn reply_key(digest: &[u8; DIGEST_LEN], side: Side) -> [u8; DIGEST_LEN] {
    hmac_sha256(&side.signature_key(), digest)
}

/// Returns the MAC over C1 or S1 without the 32 bytes at `position`.
fn hmac_without_digest(block: &Block, position: usize, side: Side) -> Hmac<Sha256> {
    let bytes = block.as_bytes();
    let digest_end = position.saturating_add(DIGEST_LEN);
    let mut mac = hmac(side.digest_key());
    mac.update(bytes.get(..position).unwrap_or_default());
    mac.update(bytes.get(digest_end..).unwrap_or_default());
    mac
}

/// Returns the sum of the four bytes at `position`.
fn offset(block: &Block, position: usize) -> usize {
    let bytes: [u8; OFFSET_LEN] = block.field(position);
    bytes.map(usize::from).iter().sum()
}

/// Key of C1's digest. Followed by [`KEY_SUFFIX`] (62 bytes in total) it is the key of C2's
/// signature.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";

/// Key of S1's digest. Followed by [`KEY_SUFFIX`] (68 bytes in total) it is the key of S2's
/// signature.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// Suffix of both keys for the signatures.
const KEY_SUFFIX: &[u8] = &[
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Position of the first area, after time and version.
const FIRST_AREA_AT: usize = 8;

/// Position of the second area.
const SECOND_AREA_AT: usize = FIRST_AREA_AT + AREA_LEN;

/// Length of an area.
const AREA_LEN: usize = 764;

/// Length of the offset field whose byte sum gives a position.
const OFFSET_LEN: usize = 4;

/// Number of positions of a digest: 728, although one more would fit.
const DIGEST_POSITIONS: usize = AREA_LEN - OFFSET_LEN - DIGEST_LEN;

/// Number of positions of a key: 632, although one more would fit.
const KEY_POSITIONS: usize = AREA_LEN - OFFSET_LEN - KEY_LEN;

/// Position of the signature in C2 and S2.
const SIGNATURE_AT: usize = Block::LEN - DIGEST_LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block with time 0 and version 128.0.3.2, filled with the low bytes of 7 i + 3.
    fn example() -> Block {
        let mut block = Block::from(std::array::from_fn(|i| (7 * i + 3) as u8));
        block.put(0, [0, 0, 0, 0, 0x80, 0, 3, 2]);
        block
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digest_vectors_match() {
        #[rustfmt::skip]
        let vectors = [
            (Scheme::DigestFirst, Side::Client, 290, 1106, "3a300283d26241ff690395630139d5faeaf77ea5816e622ce3b1e9aa648822f0"),
            (Scheme::DigestFirst, Side::Server, 290, 1106, "1c92af3dd3d1de21707c8575e68c4f3ba5f48dfe2cac77ad13b75253d5441e97"),
            (Scheme::KeyFirst, Side::Client, 942, 62, "86fa6ad2c9e625cbf93594b4763250b3f916ca039fc44879811fbe9bd0f47f10"),
            (Scheme::KeyFirst, Side::Server, 942, 62, "6f37ecf611376b020a73d2297505150df28bb34a52278e695280432cff92e353"),
        ];
        for (scheme, side, position, key_position, digest) in vectors {
            let mut block = example();
            assert_eq!(scheme.key_position(&block), key_position);
            assert_eq!(scheme.digest_position(&block), position);
            assert_eq!(verify(&block, scheme, side), None);
            assert_eq!(hex(&sign(&mut block, scheme, side)), digest);
            assert_eq!(hex(&block.as_bytes()[position..][..32]), digest);
        }
    }

    #[test]
    fn signature_vectors_match() {
        #[rustfmt::skip]
        let vectors = [
            (Side::Client, "1a1379dcc7a414db0fa8595cd145052fde9dd6296dbdb97dcb3fcf72904e4a73",
                           "0d632c0b52188e27e873b70517d0f6291bc1dd5dc7a33d4d758d44d6d56e1ada"),
            (Side::Server, "70063e50114d8225b7b5a0c0b8e5f88b0aa59f9afe641ecc0b577b2e60573406",
                           "52ddadb14166a8173ace543a3dc0bb46e5af8820b1c5e12b492983c9448da602"),
        ];
        let digest = std::array::from_fn(|i| i as u8);
        for (side, key, signature) in vectors {
            let mut block = Block::from([0; Block::LEN]);
            assert_eq!(hex(&reply_key(&digest, side)), key);
            sign_reply(&mut block, &digest, side, SignatureCipher::None);
            assert_eq!(block.as_bytes()[..1504], [0; 1504]);
            assert_eq!(hex(&block.as_bytes()[1504..]), signature);
        }
    }

    #[test]
    fn digest_positions_stay_within_their_area() {
        // The four bytes sum to 0, 727, 728 and 1020.
        let offsets = [
            [0; 4],
            [0xFF, 0xFF, 0xD9, 0],
            [0xFF, 0xFF, 0xDA, 0],
            [0xFF; 4],
        ];
        for (offset, position) in offsets.into_iter().zip([0, 727, 0, 292]) {
            let mut block = Block::from([0; Block::LEN]);
            block.put(8, offset);
            block.put(772, offset);
            assert_eq!(Scheme::DigestFirst.digest_position(&block), 12 + position);
            assert_eq!(Scheme::KeyFirst.digest_position(&block), 776 + position);
        }
    }

    #[test]
    fn keys_have_their_documented_lengths() {
        assert_eq!(Side::Client.digest_key().len(), 30);
        assert_eq!(Side::Server.digest_key().len(), 36);
        assert_eq!(Side::Client.signature_key().len(), 62);
        assert_eq!(Side::Server.signature_key().len(), 68);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn digest_lies_inside_its_area(bytes: [u8; Block::LEN]) {
            let block = Block::from(bytes);
            prop_assert!((12..=739).contains(&Scheme::DigestFirst.digest_position(&block)));
            prop_assert!((776..=1503).contains(&Scheme::KeyFirst.digest_position(&block)));
        }

        #[test]
        fn key_lies_inside_its_area(bytes: [u8; Block::LEN]) {
            let block = Block::from(bytes);
            prop_assert!((772..=1403).contains(&Scheme::DigestFirst.key_position(&block)));
            prop_assert!((8..=639).contains(&Scheme::KeyFirst.key_position(&block)));
        }

        #[test]
        fn signed_digest_is_found(bytes: [u8; Block::LEN], key_first: bool, server: bool) {
            let scheme = if key_first { Scheme::KeyFirst } else { Scheme::DigestFirst };
            let (side, other_side) = if server {
                (Side::Server, Side::Client)
            } else {
                (Side::Client, Side::Server)
            };
            let mut block = Block::from(bytes);
            prop_assert_eq!(find(&block, scheme, side), None);
            let digest = sign(&mut block, scheme, side);
            prop_assert_eq!(verify(&block, scheme, side), Some(digest));
            prop_assert_eq!(find(&block, scheme, side), Some((scheme, digest)));
            prop_assert_eq!(find(&block, scheme.other(), side), Some((scheme, digest)));
            prop_assert_eq!(find(&block, scheme, other_side), None);
        }

        #[test]
        fn one_changed_byte_invalidates_digest_and_signature(
            bytes: [u8; Block::LEN],
            at in 0..Block::LEN,
            flip in 1..=u8::MAX,
        ) {
            let mut block = Block::from(bytes);
            let digest = sign(&mut block, Scheme::DigestFirst, Side::Server);
            let [byte] = block.field(at);
            block.put(at, [byte ^ flip]);
            prop_assert_eq!(find(&block, Scheme::DigestFirst, Side::Server), None);

            let cipher = SignatureCipher::of_version([6, 8, 9][at % 3]).unwrap();
            let mut reply = Block::from(bytes);
            sign_reply(&mut reply, &digest, Side::Client, cipher);
            prop_assert!(verify_reply(&reply, &digest, Side::Client, cipher));
            prop_assert!(!verify_reply(&reply, &digest, Side::Server, cipher));
            let [byte] = reply.field(at);
            reply.put(at, [byte ^ flip]);
            prop_assert!(!verify_reply(&reply, &digest, Side::Client, cipher));
        }
    }
}
