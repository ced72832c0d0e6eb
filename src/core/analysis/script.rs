//! Script messages that describe the stream.

use bytes::Bytes;

use crate::core::{
    amf::{Value, amf0},
    flv::TagKind,
};

/// Returns the name of a script message and the value after it, up to the first damage.
pub(super) fn decode(kind: TagKind, body: &[u8]) -> Option<(Vec<u8>, Value)> {
    let body = match (kind, body) {
        // A byte of the format precedes the AMF0 values of an AMF3 message.
        (TagKind::SCRIPT_AMF3, [0, values @ ..]) => values,
        (_, body) => body,
    };
    if body.len() > MAX_BODY {
        return None;
    }
    let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(body));
    let mut name = decoder.value().ok()?;
    // Some servers relay the publisher's command, with the name `@setDataFrame` before it.
    if name == "@setDataFrame".into() {
        name = decoder.value().ok()?;
    }
    let name = name.as_text()?.as_bytes().to_vec();
    let (value, _) = decoder.partial_value();
    Some((name, value?))
}

/// Largest script message that is decoded. A keyframe index of eight hours has half a megabyte.
const MAX_BODY: usize = 4 * 1024 * 1024;
