//! Server side of an encrypted session, independent of the client's code.
//!
//! The Diffie-Hellman arithmetic and RC4 are implemented here a second time. The end-to-end tests
//! check the resulting secret with rtmpdump and ffmpeg.

use hmac::{Hmac, KeyInit, Mac};
use rtmpull::core::rtmp::handshake::{
    block::Block,
    digest::{self, Scheme, Side},
    encryption::SignatureCipher,
};
use sha2::Sha256;

use super::config::{Encryption, HandshakeFlaw};

/// S1, S2 and the session ciphers that answer a C1 with a public key.
pub struct EncryptedReply {
    pub s1: Block,
    pub s2: Block,
    /// Encrypts the bytes for the client.
    pub outgoing: Rc4,
    /// Decrypts the bytes from the client.
    pub incoming: Rc4,
}

impl EncryptedReply {
    /// Answers `c1`.
    ///
    /// # Panics
    ///
    /// Panics if C1 has no digest.
    pub fn new(encryption: Encryption, c1: &Block) -> Self {
        let found = digest::find(c1, Scheme::KeyFirst, Side::Client);
        let (client_scheme, client_digest) =
            found.expect("C1 of an encrypted handshake has a digest");
        let client_key = public_key(client_scheme, c1);
        let exchange = match encryption.flaw {
            Some(HandshakeFlaw::LeftAlignedSecret) => {
                Exchange::with_left_aligned_secret(&client_key)
            }
            Some(HandshakeFlaw::SecretWithLeadingZero) => Exchange::with_short_secret(&client_key),
            _ => Exchange::new(&client_key),
        };
        let public = match encryption.flaw {
            Some(HandshakeFlaw::PublicKey(key)) => key,
            _ => exchange.public,
        };
        Self {
            s1: s1(encryption, &public),
            s2: s2(encryption, &client_digest),
            outgoing: rc4_stream(&exchange.secret, &client_key),
            incoming: rc4_stream(&exchange.secret, &public),
        }
    }
}

/// Returns the signature cipher of handshake type `version`, or no cipher for an unknown type.
pub fn signature_cipher(version: u8) -> SignatureCipher {
    SignatureCipher::of_version(version).unwrap_or_default()
}

fn s1(encryption: Encryption, public: &[u8; 128]) -> Block {
    let scheme = encryption.scheme;
    let mut s1 = Block::with_header(0, [5, 0, 17, 1], &mut rand::rng());
    let at = scheme.key_position(&s1);
    s1 = modified(&s1, |bytes| bytes[at..at + 128].copy_from_slice(public));
    digest::sign(&mut s1, scheme, Side::Server);
    match encryption.flaw {
        Some(HandshakeFlaw::InvalidS1Digest) => modified(&s1, |bytes| bytes[1535] ^= 1),
        _ => s1,
    }
}

fn s2(encryption: Encryption, client_digest: &[u8; 32]) -> Block {
    let cipher = signature_cipher(encryption.version);
    let mut s2 = Block::random(&mut rand::rng());
    digest::sign_reply(&mut s2, client_digest, Side::Server, cipher);
    match encryption.flaw {
        Some(HandshakeFlaw::InvalidS2Signature) => modified(&s2, |bytes| bytes[1535] ^= 1),
        _ => s2,
    }
}

fn modified(block: &Block, change: impl FnOnce(&mut [u8; Block::LEN])) -> Block {
    let mut bytes = *block.as_bytes();
    change(&mut bytes);
    bytes.into()
}

fn public_key(scheme: Scheme, block: &Block) -> [u8; 128] {
    let at = scheme.key_position(block);
    block.as_bytes()[at..at + 128]
        .try_into()
        .expect("a key of 128 bytes")
}

/// Returns the RC4 stream of the data sent to the owner of `public`.
fn rc4_stream(secret: &[u8; 128], public: &[u8; 128]) -> Rc4 {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC accepts any key length");
    mac.update(public);
    let mut rc4 = Rc4::new(&mac.finalize().into_bytes()[..16]);
    rc4.apply(&mut [0; 1536]);
    rc4
}

/// RC4 cipher state.
pub struct Rc4 {
    s: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    fn new(key: &[u8]) -> Self {
        let mut s: [u8; 256] = std::array::from_fn(|i| i as u8);
        let mut j = 0_u8;
        for i in 0..256 {
            j = j.wrapping_add(s[i]).wrapping_add(key[i % key.len()]);
            s.swap(i, j.into());
        }
        Self { s, i: 0, j: 0 }
    }

    pub fn apply(&mut self, data: &mut [u8]) {
        let Self { s, i, j } = self;
        for byte in data {
            *i = i.wrapping_add(1);
            *j = j.wrapping_add(s[usize::from(*i)]);
            s.swap((*i).into(), (*j).into());
            let sum = s[usize::from(*i)].wrapping_add(s[usize::from(*j)]);
            *byte ^= s[usize::from(sum)];
        }
    }
}

/// Public key of the server and the secret shared with one client.
struct Exchange {
    public: [u8; 128],
    secret: [u8; 128],
}

impl Exchange {
    /// Creates a secret whose first byte is not zero. A leading zero occurs once in 256 handshakes,
    /// and some players drop it.
    fn new(client_key: &[u8; 128]) -> Self {
        Self::search(client_key, |first| first != 0)
    }

    /// Creates a secret whose first byte is zero.
    fn with_short_secret(client_key: &[u8; 128]) -> Self {
        Self::search(client_key, |first| first == 0)
    }

    /// Creates a secret with its leading zeros moved to the end, as a server that left-aligns the
    /// OpenSSL result does.
    fn with_left_aligned_secret(client_key: &[u8; 128]) -> Self {
        let mut exchange = Self::with_short_secret(client_key);
        let zeros = exchange.secret.iter().take_while(|byte| **byte == 0);
        let zeros = zeros.count();
        exchange.secret.rotate_left(zeros);
        exchange
    }

    /// Increments the exponent until `is_wanted` accepts the first byte of the secret; each step
    /// costs one multiplication.
    fn search(client_key: &[u8; 128], is_wanted: impl Fn(u8) -> bool) -> Self {
        let exponent: [u8; 32] = rand::random();
        let (two, key) = (
            to_montgomery(&number(&[2])),
            to_montgomery(&number(client_key)),
        );
        let (mut public, mut secret) = (power(&two, &exponent), power(&key, &exponent));
        while !is_wanted(bytes(&secret)[0]) {
            public = product(&public, &two);
            secret = product(&secret, &key);
        }
        Self {
            public: bytes(&public),
            secret: bytes(&secret),
        }
    }
}

/// 1024-bit number, least significant word first.
type Number = [u64; 16];

fn number(big_endian: &[u8]) -> Number {
    let mut number = [0; 16];
    for (at, byte) in big_endian.iter().rev().enumerate() {
        number[at / 8] |= u64::from(*byte) << (at % 8 * 8);
    }
    number
}

/// Converts a number from Montgomery form to big-endian bytes.
fn bytes(element: &Number) -> [u8; 128] {
    let number = product(element, &number(&[1]));
    std::array::from_fn(|at| (number[(127 - at) / 8] >> ((127 - at) % 8 * 8)) as u8)
}

/// Converts a number to Montgomery form: multiplies it by 2^1024.
fn to_montgomery(number: &Number) -> Number {
    (0..1024).fold(*number, |sum, _| doubled(&sum))
}

fn power(base: &Number, exponent: &[u8]) -> Number {
    let mut result = to_montgomery(&number(&[1]));
    for bit in exponent
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        result = product(&result, &result);
        if bit == 1 {
            result = product(&result, base);
        }
    }
    result
}

/// Montgomery product: a b / 2^1024 modulo p.
///
/// The lowest word of p is -1 modulo 2^64, so the word to clear is itself the reduction factor.
fn product(a: &Number, b: &Number) -> Number {
    let mut sum = [0_u64; 18];
    for a in a {
        add(&mut sum, *a, b);
        let factor = sum[0];
        add(&mut sum, factor, &prime());
        sum.copy_within(1.., 0);
        sum[17] = 0;
    }
    reduced(sum[..16].try_into().expect("16 of 18 words"), sum[16] > 0)
}

/// Adds `factor * number` to `sum`.
fn add(sum: &mut [u64; 18], factor: u64, number: &Number) {
    let mut carry = 0;
    for (word, limb) in sum.iter_mut().zip(number.iter().chain(&[0, 0])) {
        let total = u128::from(*word) + u128::from(factor) * u128::from(*limb) + carry;
        *word = total as u64;
        carry = total >> 64;
    }
}

fn doubled(number: &Number) -> Number {
    let twice = std::array::from_fn(|at| {
        number[at] << 1 | at.checked_sub(1).map_or(0, |before| number[before] >> 63)
    });
    reduced(twice, number[15] >> 63 == 1)
}

/// Subtracts p if the number is not smaller than p.
fn reduced(number: Number, has_carry: bool) -> Number {
    let mut borrows = false;
    let difference = std::array::from_fn(|at| {
        let (word, first) = number[at].overflowing_sub(prime()[at]);
        let (word, second) = word.overflowing_sub(borrows.into());
        borrows = first || second;
        word
    });
    if borrows && !has_carry {
        number
    } else {
        difference
    }
}

/// Prime of the Second Oakley Group (RFC 2409, section 6.2).
pub const fn prime() -> Number {
    [
        0xFFFF_FFFF_FFFF_FFFF,
        0x4928_6651_ECE6_5381,
        0xAE9F_2411_7C4B_1FE6,
        0xEE38_6BFB_5A89_9FA5,
        0x0BFF_5CB6_F406_B7ED,
        0xF44C_42E9_A637_ED6B,
        0xE485_B576_625E_7EC6,
        0x4FE1_356D_6D51_C245,
        0x302B_0A6D_F25F_1437,
        0xEF95_19B3_CD3A_431B,
        0x514A_0879_8E34_04DD,
        0x020B_BEA6_3B13_9B22,
        0x2902_4E08_8A67_CC74,
        0xC4C6_628B_80DC_1CD1,
        0xC90F_DAA2_2168_C234,
        0xFFFF_FFFF_FFFF_FFFF,
    ]
}

/// Returns the prime plus `offset` as big-endian bytes.
pub fn prime_plus(offset: i8) -> [u8; 128] {
    // The lowest word is all ones, so a positive offset carries into the words above.
    let mut words = prime().map(i128::from);
    words[0] += i128::from(offset);
    for at in 0..15 {
        let carry = words[at] >> 64;
        words[at] -= carry << 64;
        words[at + 1] += carry;
    }
    std::array::from_fn(|at| (words[(127 - at) / 8] >> ((127 - at) % 8 * 8)) as u8)
}
