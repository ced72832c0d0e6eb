//! SWF: whatever a file holds, it has one fingerprint or none, and packing does not change it.

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

/// What stands behind the signature of an unpacked file gives the same packed.
fn check(rest: &[u8], fingerprint: Fingerprint) {
    assert_eq!(fingerprint.size as usize, 3 + rest.len());
    let (header, body) = rest.split_at(5);
    let packed = [b"CWS", header].concat();
    let mut zlib = ZlibEncoder::new(packed, Compression::fast());
    zlib.write_all(body).expect("writing to memory succeeds");
    let packed = zlib.finish().expect("writing to memory succeeds");
    assert_eq!(Fingerprint::of(&packed), Ok(fingerprint));
}
