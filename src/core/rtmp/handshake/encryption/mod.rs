//! Key agreement and ciphers of an encrypted session (rtmpe).
//!
//! ```text
//!            private exponent          private exponent
//!                 │                          │
//! C1: digest, public key ──────▶ ◀────── S1: digest, public key
//!                 │                          │
//!                 └────── same secret ───────┘
//!                              │
//!    HMAC-SHA256 of the receiver's public key, keyed with the secret
//!                              │
//!    RC4 on the chunks, starting at byte 1536 of its key stream
//! ```
//!
//! C0 to C2 and S0 to S2 are sent in the clear. [`SignatureCipher`] describes the types that S0 can
//! announce.

pub mod dh;
pub mod rc4;
mod signature;

pub use self::signature::SignatureCipher;
use self::{
    dh::{InvalidPublicKey, KeyPair},
    rc4::Rc4,
};
use super::{block::Block, hmac::hmac_sha256};

/// Whether the session must be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// No encryption: rtmp.
    #[default]
    None,
    /// Encryption is required: rtmpe.
    Required,
    /// Encryption is preferred: if the server does not support it, the session continues in the
    /// clear and a warning is logged.
    AllowPlain,
}

/// The ciphers of both directions of an encrypted session, positioned after the handshake.
#[derive(Debug, Clone)]
pub struct Ciphers {
    /// Decrypts received bytes.
    pub incoming: Rc4,
    /// Encrypts sent bytes.
    pub outgoing: Rc4,
}

/// The result of a key agreement.
#[derive(Debug)]
pub(in crate::core::rtmp) struct KeyAgreement {
    pub(in crate::core::rtmp) ciphers: Ciphers,
    /// Whether the secret starts with a zero byte. Some servers drop that byte and derive other
    /// keys.
    pub(in crate::core::rtmp) secret_has_leading_zero: bool,
}

impl KeyAgreement {
    /// Agrees on keys with the peer that owns `peer_public`.
    pub(in crate::core::rtmp) fn new(
        pair: &KeyPair,
        peer_public: &[u8; dh::KEY_LEN],
    ) -> Result<Self, InvalidPublicKey> {
        let secret = pair.secret(peer_public)?;
        Ok(Self {
            ciphers: Ciphers {
                incoming: cipher_to(&secret, pair.public()),
                outgoing: cipher_to(&secret, peer_public),
            },
            secret_has_leading_zero: secret.starts_with(&[0]),
        })
    }
}

/// Returns the cipher for the direction towards the owner of `public`.
fn cipher_to(secret: &[u8; dh::KEY_LEN], public: &[u8; dh::KEY_LEN]) -> Rc4 {
    let mut rc4 = Rc4::new(&stream_key(secret, public));
    rc4.skip(Block::LEN);
    rc4
}

fn stream_key(secret: &[u8; dh::KEY_LEN], public: &[u8; dh::KEY_LEN]) -> [u8; rc4::KEY_LEN] {
    let hash = hmac_sha256(secret, public);
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn stream_key_vector_matches() {
        let key = stream_key(&[1; 128], &[2; 128]);
        assert_eq!(
            key,
            [
                0x9e, 0x20, 0xc9, 0x02, 0xfe, 0x04, 0xd8, 0xde, 0x7d, 0x8f, 0x4c, 0x5b, 0x69, 0x99,
                0xc3, 0x16
            ]
        );
    }

    #[test]
    fn both_peers_derive_matching_ciphers() {
        let mut rng = StdRng::seed_from_u64(2);
        let (ours, theirs) = (KeyPair::new(&mut rng), KeyPair::new(&mut rng));
        let mut near = KeyAgreement::new(&ours, theirs.public()).unwrap();
        let mut far = KeyAgreement::new(&theirs, ours.public()).unwrap();
        for (from, to) in [
            (&mut near.ciphers.outgoing, &mut far.ciphers.incoming),
            (&mut far.ciphers.outgoing, &mut near.ciphers.incoming),
        ] {
            let mut bytes = *b"chunks";
            from.apply(&mut bytes);
            assert_ne!(&bytes, b"chunks");
            to.apply(&mut bytes);
            assert_eq!(&bytes, b"chunks");
        }
    }

    /// One key in 256 leads to such a secret; seed 384 is the first.
    #[test]
    fn leading_zero_of_the_secret_is_reported() {
        let ours = KeyPair::new(&mut StdRng::seed_from_u64(3));
        for (seed, is_short) in [(0, false), (384, true)] {
            let theirs = KeyPair::new(&mut StdRng::seed_from_u64(seed));
            let secret = ours.secret(theirs.public()).unwrap();
            assert_eq!(secret[0] == 0, is_short);
            let agreement = KeyAgreement::new(&ours, theirs.public()).unwrap();
            assert_eq!(agreement.secret_has_leading_zero, is_short);
        }
    }
}
