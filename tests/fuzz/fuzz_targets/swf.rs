//! SWF: every file has at most one fingerprint, and compressing it does not change the fingerprint.

#![no_main]

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use libfuzzer_sys::fuzz_target;
use rtmpull::core::swf::{Error, Fingerprint};

fuzz_target!(|file: &[u8]| {
    let fingerprint = Fingerprint::of(file);
    assert_eq!(Fingerprint::of(file), fingerprint);
    let Some((signature, rest)) = file.split_first_chunk::<3>() else {
        return assert_eq!(fingerprint, Err(Error::Truncated));
    };
    match (signature, fingerprint) {
        (b"FWS", Ok(fingerprint)) => check(rest, fingerprint),
        (b"FWS", Err(error)) => assert_eq!(error, Error::Truncated),
        (b"CWS" | b"ZWS", Ok(fingerprint)) => assert!(fingerprint.size >= 8),
        (b"CWS" | b"ZWS", Err(error)) => assert_ne!(error, Error::Signature),
        (_, fingerprint) => assert_eq!(fingerprint, Err(Error::Signature)),
    }
});

/// Compresses the uncompressed file with these bytes after its signature and compares the fingerprints.
fn check(rest: &[u8], fingerprint: Fingerprint) {
    assert_eq!(fingerprint.size as usize, 3 + rest.len());
    let (header, body) = rest.split_at(5);
    let compressed = [b"CWS", header].concat();
    let mut zlib = ZlibEncoder::new(compressed, Compression::fast());
    zlib.write_all(body).expect("writing to memory succeeds");
    let compressed = zlib.finish().expect("writing to memory succeeds");
    assert_eq!(Fingerprint::of(&compressed), Ok(fingerprint));
}
