//! Encryption of the signatures in C2 and S2; S0 selects one of three types.
//!
//! A signature is four blocks of 8 bytes. Type 6 sends them unchanged. Types 8 and 9 encrypt each
//! block with a key from a table; one byte of the signature key selects the table entry of each
//! block.

use blowfish::{BlowfishLE, cipher::BlockCipherEncrypt};
use xtea::{Xtea, cipher::KeyInit};

use crate::core::rtmp::handshake::digest::DIGEST_LEN;

/// The cipher of both signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureCipher {
    /// Type 6, and all plain sessions.
    #[default]
    None,
    /// Type 8: XTEA with a 128-bit key, on little-endian words.
    Xtea,
    /// Type 9: Blowfish with a 192-bit key, on little-endian words.
    Blowfish,
}

impl SignatureCipher {
    /// Returns the cipher for `version`, the value of S0; `None` for a type that is not publicly
    /// known. Type 10 exists, but is not documented.
    pub fn of_version(version: u8) -> Option<Self> {
        Some(match version {
            6 => Self::None,
            8 => Self::Xtea,
            9 => Self::Blowfish,
            _ => return None,
        })
    }

    /// Returns the value of S0 that announces this cipher.
    pub fn version(self) -> u8 {
        match self {
            Self::None => 6,
            Self::Xtea => 8,
            Self::Blowfish => 9,
        }
    }

    /// Encrypts a signature that was computed with `key`.
    pub fn apply(self, signature: &mut [u8; DIGEST_LEN], key: &[u8; DIGEST_LEN]) {
        let (blocks, _) = signature.as_chunks_mut();
        for (block, index) in blocks.iter_mut().zip(key.iter().step_by(BLOCK_LEN)) {
            self.encrypt_block_with(block, usize::from(*index) % KEYS);
        }
    }

    /// Encrypts one block with table entry `index`.
    fn encrypt_block_with(self, block: &mut [u8; BLOCK_LEN], index: usize) {
        match self {
            Self::None => {}
            Self::Xtea => {
                if let Some(key) = XTEA_KEYS.get(index) {
                    Xtea::new(key.into()).encrypt_block(block.into());
                }
            }
            Self::Blowfish => {
                let key = BLOWFISH_KEYS.get(index);
                if let Some(Ok(cipher)) = key.map(|key| BlowfishLE::new_from_slice(key)) {
                    cipher.encrypt_block(block.into());
                }
            }
        }
    }
}

/// Block length of both ciphers.
const BLOCK_LEN: usize = 8;

/// Number of keys per table. Adobe's tables have one more key, which is never selected.
const KEYS: usize = 15;

/// The keys of type 8, four little-endian words each.
#[rustfmt::skip]
const XTEA_KEYS: [[u8; 16]; KEYS] = [
    *b"\xb2\x34\xf0\xbf\x1f\x08\xd9\x11\x95\xb7\xdf\xcc\x32\xe7\x8d\x74",
    *b"\xb6\x5e\x6a\x08\x0e\x09\x43\x17\xb8\x5a\xf0\x6e\xe2\x39\x5a\xfe",
    *b"\x6f\x95\x10\x7b\x21\x05\xce\x76\x3a\xa7\x88\x23\xa1\x49\x01\x44",
    *b"\x17\xf3\x43\xa9\xb2\x1b\xf1\xeb\xee\xa5\x91\xa6\x39\x63\xf3\x17",
    *b"\x0a\xe0\x30\x7a\x2c\xe2\x29\xb5\xa5\xae\x87\xa0\xac\x79\xcb\xc0",
    *b"\x23\x0c\xce\xbd\xff\xde\xeb\x2f\x16\xae\xfa\x1c\x9d\x23\x23\x11",
    *b"\x7b\x3f\xdd\x55\x2e\xe6\xe7\x77\x99\xc4\xb8\x9b\xe4\x1e\x48\xc9",
    *b"\xb4\xb6\x7b\x40\x36\x91\xe8\x71\x55\xbf\xae\xa7\x39\xb8\x33\xca",
    *b"\xc3\xbd\xf6\xfc\x97\x36\x3c\xb6\x25\xf8\xe4\x7c\xb2\x59\xd9\x04",
    *b"\xfd\x91\xe0\x28\x4c\x4c\x95\x41\x00\xdb\xb7\x7f\xf8\x66\xa0\xe3",
    *b"\x76\x5b\x84\x57\x03\x1b\x25\x4f\xcd\x5b\xd4\x46\x29\x0d\xc3\xa2",
    *b"\xf8\xee\xcc\x0a\x46\xb5\x55\xda\x52\x34\x47\x03\x3b\x71\x63\x58",
    *b"\xdc\x75\x20\xb8\xee\x1f\x5f\xa7\xe8\x68\x42\xd8\xcc\x44\x2a\xa7",
    *b"\x9e\x6e\xcf\x07\x25\x7b\x6d\xa1\x6c\xae\xa7\x9f\x29\x56\x2f\xd9",
    *b"\xe4\xea\xb1\xfe\xe1\x3c\x8c\x8c\xa7\x64\x00\x4e\x2a\x7c\x38\x6a",
];

/// The keys of type 9.
#[rustfmt::skip]
const BLOWFISH_KEYS: [[u8; 24]; KEYS] = [
    *b"\x79\x34\x77\x4c\x67\xd1\x38\x3a\xdf\xb3\x56\xbe\x8b\x7b\xd0\x24\x38\xe0\x73\x58\x41\x5d\x69\x67",
    *b"\x46\xf6\xb4\xcc\x01\x93\xe3\xa1\x9e\x7d\x3c\x65\x55\x86\xfd\x09\x8f\xf7\xb3\xc4\x6f\x41\xca\x5c",
    *b"\x1a\xe7\xe2\xf3\xf9\x14\x79\x94\xc0\xd3\x97\x43\x08\x7b\xb3\x84\x43\x2f\x9d\x84\x3f\x21\x01\x9b",
    *b"\xd3\xe3\x54\xb0\xf7\x1d\xf6\x2b\x5a\x43\x4d\x04\x83\x64\x3e\x0d\x59\x2f\x61\xcb\xb1\x6a\x59\x0d",
    *b"\xc8\xc1\xe9\xb8\x16\x56\x99\x21\x7b\x5b\x36\xb7\xb5\x9b\xdf\x06\x49\x2c\x97\xf5\x95\x48\x85\x7e",
    *b"\xeb\xe5\xe6\x2e\xa4\xba\xd4\x2c\xf2\x16\xe0\x8f\x66\x23\xa9\x43\x41\xce\x38\x14\x84\x95\x00\x53",
    *b"\x66\xdb\x90\xf0\x3b\x4f\xf5\x6f\xe4\x9c\x20\x89\x35\x5e\xd2\xb2\xc3\x9e\x9f\x7f\x63\xb2\x28\x81",
    *b"\xbb\x20\xac\xed\x2a\x04\x6a\x19\x94\x98\x9b\xc8\xff\xcd\x93\xef\xc6\x0d\x56\xa7\xeb\x13\xd9\x30",
    *b"\xbc\xf2\x43\x82\x09\x40\x8a\x87\x25\x43\x6d\xe6\xbb\xa4\xb9\x44\x58\x3f\x21\x7c\x99\xbb\x3f\x24",
    *b"\xec\x1a\xaa\xcd\xce\xbd\x53\x11\xd2\xfb\x83\xb6\xc3\xba\xab\x4f\x62\x79\xe8\x65\xa9\x92\x28\x76",
    *b"\xc6\x0c\x30\x03\x91\x18\x2d\x7b\x79\xda\xe1\xd5\x64\x77\x9a\x12\xc5\xb1\xd7\x91\x4f\x96\x4c\xa3",
    *b"\xd7\x7c\x2a\xbf\xa6\xe7\x85\x7c\x45\xad\xff\x12\x94\xd8\xde\xa4\x5c\x3d\x79\xa4\x44\x02\x5d\x22",
    *b"\x16\x19\x0d\x81\x6a\x4c\xc7\xf8\xb8\xf9\x4e\xcd\x2c\x9e\x90\x84\xb2\x08\x25\x60\xe1\x1e\xae\x18",
    *b"\xe9\x7c\x58\x26\x1b\x51\x9e\x49\x82\x60\x61\xfc\xa0\xa0\x1b\xcd\xf5\x05\xd6\xa6\x6d\x07\x88\xa3",
    *b"\x2b\x97\x11\x8b\xd9\x4e\xd9\xdf\x20\xe3\x9c\x10\xe6\xa1\x35\x21\x11\xf9\x13\x0d\x0b\x24\x65\xb2",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtmp::handshake::{
        block::Block,
        digest::{Side, sign_reply, verify_reply},
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn block_vectors_match() {
        #[rustfmt::skip]
        let vectors = [
            (SignatureCipher::None, 0, "0001020304050607"),
            (SignatureCipher::Xtea, 0, "c7c82aca95daa419"),
            (SignatureCipher::Xtea, 1, "56db83e87bb6c03f"),
            (SignatureCipher::Xtea, 14, "b7eecfdda2307f55"),
            (SignatureCipher::Blowfish, 0, "a031fb6d807be57d"),
            (SignatureCipher::Blowfish, 1, "c6bf25ece357e347"),
            (SignatureCipher::Blowfish, 14, "e3082b7c168b32eb"),
        ];
        for (cipher, index, expected) in vectors {
            let mut block = [0, 1, 2, 3, 4, 5, 6, 7];
            cipher.encrypt_block_with(&mut block, index);
            assert_eq!(hex(&block), expected, "{cipher:?} {index}");
        }
    }

    #[test]
    fn signature_vectors_match() {
        #[rustfmt::skip]
        let vectors = [
            (6, "0d632c0b52188e27e873b70517d0f6291bc1dd5dc7a33d4d758d44d6d56e1ada"),
            (8, "71ac1ecd9c560dfba2e5f765df8d357d3b6ce85119848f661c2746d61a67e41a"),
            (9, "506a1c5339f38ebfe9901aeadc5cdd25441e240dd8bf65f0b74efa2af2fded71"),
        ];
        let digest = std::array::from_fn(|i| i as u8);
        for (version, signature) in vectors {
            let cipher = SignatureCipher::of_version(version).unwrap();
            let mut block = Block::from([0; Block::LEN]);
            sign_reply(&mut block, &digest, Side::Client, cipher);
            assert_eq!(hex(&block.as_bytes()[1504..]), signature);
            for other in [6, 8, 9] {
                let cipher = SignatureCipher::of_version(other).unwrap();
                let is_verified = verify_reply(&block, &digest, Side::Client, cipher);
                assert_eq!(is_verified, other == version, "{version} as {other}");
            }
        }
    }

    #[test]
    fn every_key_byte_selects_a_table_entry() {
        for cipher in [SignatureCipher::Xtea, SignatureCipher::Blowfish] {
            for byte in 0..=u8::MAX {
                let mut signature = [0; 32];
                cipher.apply(&mut signature, &[byte; 32]);
                let mut block = [0; 8];
                cipher.encrypt_block_with(&mut block, usize::from(byte % 15));
                assert_ne!(block, [0; 8]);
                assert_eq!(signature, *[block; 4].as_flattened());
            }
        }
    }

    #[test]
    fn only_types_6_8_and_9_are_encrypted() {
        for version in (0..=u8::MAX).filter(|version| ![6, 8, 9].contains(version)) {
            assert_eq!(SignatureCipher::of_version(version), None);
        }
    }
}
