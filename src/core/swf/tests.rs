use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use lzma_rust2::{LzmaOptions, LzmaWriter};
use proptest::prelude::*;

use super::*;

/// "rtmpull" ten times, uncompressed.
const FWS: &[u8] = b"FWS\x09\x4e\x00\x00\x00\
    rtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpull";

/// The same file, compressed with `zlib.compress(body, 9)` of Python 3.
#[rustfmt::skip]
const CWS: &[u8] = &[
    b'C', b'W', b'S', 9, 0x4e, 0, 0, 0,
    // zlib header, one deflate block
    0x78, 0xda, 0x2b, 0x2a, 0xc9, 0x2d, 0x28, 0xcd, 0xc9, 0x29, 0xa2, 0x8c, 0x02, 0x00,
    // Adler-32
    0x40, 0xb6, 0x1e, 0xa1,
];

/// The same file, compressed with `lzma.compress(body, format=lzma.FORMAT_RAW, …)` of Python 3, with an end
/// marker.
#[rustfmt::skip]
const ZWS: &[u8] = &[
    b'Z', b'W', b'S', 9, 0x4e, 0, 0, 0,
    // compressed length
    19, 0, 0, 0,
    // lc 3, lp 0, pb 2; a dictionary of 64 KiB
    0x5d, 0, 0, 1, 0,
    0x00, 0x39, 0x1d, 0x09, 0xde, 0xb3, 0x25, 0x9d, 0x53, 0xf2, 0xc7, 0xac, 0x0d,
    // end marker, and the last bytes of the range coder
    0xff, 0xff, 0xfa, 0xfb, 0x20, 0x00,
];

/// Computed with `hmac.new(b"Genuine Adobe Flash Player 001", FWS, hashlib.sha256)` of Python 3.
const FINGERPRINT: Fingerprint = Fingerprint {
    #[rustfmt::skip]
    hash: [
        0x0f, 0x96, 0x81, 0xdb, 0xd9, 0x90, 0x86, 0xc8, 0x36, 0x7f, 0x10, 0x0b, 0x64, 0xae, 0xb9, 0x9b,
        0x9b, 0xfd, 0xe1, 0x7c, 0xde, 0x64, 0xdf, 0x5f, 0x87, 0xe6, 0xbe, 0x00, 0x5e, 0x41, 0xe5, 0x44,
    ],
    size: 78,
};

fn header(signature: &[u8; 3], length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_le_bytes();
    [&signature[..], &[9], &length].concat()
}

fn fws(body: &[u8]) -> Vec<u8> {
    [header(b"FWS", 8 + body.len()), body.to_vec()].concat()
}

fn cws(body: &[u8]) -> Vec<u8> {
    let file = header(b"CWS", 8 + body.len());
    let mut zlib = ZlibEncoder::new(file, Compression::fast());
    zlib.write_all(body).unwrap();
    zlib.finish().unwrap()
}

fn zws(body: &[u8], has_end_marker: bool) -> Vec<u8> {
    let options = LzmaOptions::with_preset(0);
    let mut lzma = LzmaWriter::new_no_header(Vec::new(), &options, has_end_marker).unwrap();
    let properties = lzma.props();
    lzma.write_all(body).unwrap();
    let compressed = lzma.finish().unwrap();
    let mut file = header(b"ZWS", 8 + body.len());
    file.extend(u32::try_from(compressed.len()).unwrap().to_le_bytes());
    file.push(properties);
    file.extend(options.dict_size.to_le_bytes());
    file.extend(compressed);
    file
}

#[test]
fn compression_does_not_change_the_fingerprint() {
    for file in [FWS, CWS, ZWS] {
        assert_eq!(Fingerprint::of(file), Ok(FINGERPRINT), "{file:02x?}");
    }
}

#[test]
fn truncated_files_are_errors() {
    for file in [FWS, CWS] {
        for end in 0..file.len() {
            let cut = Fingerprint::of(&file[..end]);
            assert_eq!(cut, Err(Error::Truncated), "{end} of {file:02x?}");
        }
    }
    // The end marker of LZMA is optional once the length is reached.
    for end in 0..ZWS.len() - 6 {
        let cut = Fingerprint::of(&ZWS[..end]);
        assert_eq!(cut, Err(Error::Truncated), "{end} of {ZWS:02x?}");
    }
    for end in ZWS.len() - 6..ZWS.len() {
        let cut = Fingerprint::of(&ZWS[..end]);
        assert!([Ok(FINGERPRINT), Err(Error::Truncated)].contains(&cut));
    }
}

#[test]
fn other_signatures_are_errors() {
    for file in [
        &b"<!DOCTYPE html><html>"[..],
        b"GWS\x09\x4e\0\0\0",
        b"FLV\x01\x05\0\0\0\x09",
        b"fws\x09\x4e\0\0\0",
    ] {
        assert_eq!(Fingerprint::of(file), Err(Error::Signature));
    }
}

#[test]
fn damaged_files_are_errors() {
    let broken = |file: &[u8], at: usize, byte: u8| {
        let mut file = file.to_vec();
        file[at] = byte;
        Fingerprint::of(&file)
    };
    assert_eq!(broken(CWS, 8, 0x79), Err(Error::Damaged), "zlib header");
    assert_eq!(broken(CWS, 10, 0x07), Err(Error::Damaged), "block type");
    assert_eq!(broken(CWS, 25, 0xa2), Err(Error::Damaged), "Adler-32");
    assert_eq!(broken(ZWS, 12, 225), Err(Error::Damaged), "properties");
    assert_eq!(broken(ZWS, 17, 1), Err(Error::Damaged), "range coder");
    // A match before the first byte.
    assert_eq!(broken(ZWS, 18, 0xff), Err(Error::Damaged), "first bit");
}

#[test]
fn trailing_bytes_count_only_in_an_uncompressed_file() {
    for file in [CWS, ZWS] {
        let longer = [file, b"trailing bytes"].concat();
        assert_eq!(Fingerprint::of(&longer), Ok(FINGERPRINT));
    }
    let longer = Fingerprint::of(&[FWS, b"!"].concat()).unwrap();
    assert_eq!(longer.size, FINGERPRINT.size + 1);
    assert_ne!(longer.hash, FINGERPRINT.hash);
}

#[test]
fn wrong_length_does_not_size_an_allocation() {
    for length in [0_u32, 7, 8, 0x4d, 0x4f, 1 << 31, u32::MAX] {
        let claiming = |file: &[u8]| {
            let file = [&file[..4], &length.to_le_bytes(), &file[8..]].concat();
            Fingerprint::of(&file).map(|fingerprint| fingerprint.size)
        };
        let uncompressed = match length {
            ..=0x4e => Ok(0x4e),
            _ => Err(Error::Truncated),
        };
        assert_eq!(claiming(FWS), uncompressed, "{length}");
        assert_eq!(claiming(CWS), Ok(0x4e), "{length}");
        // LZMA relies on the length: the last match exceeds it, or the end marker is early.
        let lzma = match length {
            8 => Ok(8),
            _ => Err(Error::Damaged),
        };
        assert_eq!(claiming(ZWS), lzma, "{length}");
    }
}

#[test]
fn dictionary_is_not_larger_than_the_file() {
    for dictionary in [0_u32, 1, 4096, u32::MAX] {
        let file = [&ZWS[..13], &dictionary.to_le_bytes(), &ZWS[17..]].concat();
        assert_eq!(Fingerprint::of(&file), Ok(FINGERPRINT), "{dictionary}");
    }
}

#[test]
fn decompression_bomb_stops_at_the_limit() {
    let max_bytes = 1 << 20;
    let body = vec![0; max_bytes - 7];
    for file in [cws(&body), zws(&body, false), zws(&body, true)] {
        assert!(file.len() < max_bytes / 100);
        let bomb = Fingerprint::within(max_bytes, &file);
        assert_eq!(bomb, Err(Error::TooLarge));
    }
    let file = Fingerprint::within(max_bytes, &fws(&body));
    assert_eq!(file, Err(Error::TooLarge));
    let largest = Fingerprint::within(max_bytes, &cws(&body[1..])).unwrap();
    assert_eq!(largest.size as usize, max_bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fingerprint_is_the_same_for_every_compression(
        body in proptest::collection::vec(0_u8..4, 0..100),
        times in 1_usize..1000,
    ) {
        let body = body.repeat(times);
        let expected = Fingerprint::of(&fws(&body)).unwrap();
        prop_assert_eq!(expected.size as usize, 8 + body.len());
        for file in [cws(&body), zws(&body, false), zws(&body, true)] {
            prop_assert_eq!(Fingerprint::of(&file), Ok(expected));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(
        signature in 0_usize..3,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let signature = [b"FWS", b"CWS", b"ZWS"][signature];
        let _ = Fingerprint::of(&[&signature[..], &bytes].concat());
    }
}
