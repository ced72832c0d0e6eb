//! HMAC-SHA256 for digests, signatures and keys.

use ::hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the HMAC-SHA256 of `bytes`.
pub(in crate::core::rtmp) fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = hmac(key);
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// Returns an HMAC-SHA256 without input.
#[allow(clippy::expect_used, reason = "HMAC accepts keys of any length")]
pub(super) fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC accepts keys of any length")
}
