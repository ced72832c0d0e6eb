//! Writes the test vectors to `corpus/` as first inputs of the fuzz targets:
//! `cargo run --locked --example seeds`.

use std::{fs, io, path::Path};

use serde_json::Value;

fn main() -> io::Result<()> {
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/vectors.json"
    );
    let vectors: Value = serde_json::from_str(&fs::read_to_string(vectors)?)?;
    for vector in vectors["vectors"].as_array().into_iter().flatten() {
        let (Some(name), Some(area)) = (vector["name"].as_str(), vector["area"].as_str()) else {
            continue;
        };
        // Some vectors have lists as input instead of bytes; these are skipped.
        let Some(bytes) = bytes(&vector["input"]) else {
            continue;
        };
        if let Some((target, first)) = target(area) {
            write(target, name, &[first, &bytes].concat())?;
        }
        if let Some(kind) = message_kind(area) {
            write("analysis", name, &stream(kind, &bytes))?;
        }
    }
    for (name, url) in URLS {
        write("url", name, url.as_bytes())?;
    }
    for (name, file) in PLAYERS {
        write("swf", name, file)?;
    }
    Ok(())
}

/// Returns the target for the vectors of an area, and the prefix that selects the check.
fn target(area: &str) -> Option<(&'static str, &'static [u8])> {
    match area {
        "amf0" | "command" | "data" => Some(("amf0", &[])),
        "amf3" => Some(("amf0", &[AVM_PLUS])),
        "chunk" => Some(("chunks", &[0])),
        "flv" => Some(("flv", &[0])),
        "ertmp-audio" | "ertmp-video" => Some(("flv", &[1])),
        _ => None,
    }
}

/// Returns the type of the messages whose bodies are the vectors of an area.
fn message_kind(area: &str) -> Option<u8> {
    match area {
        "ertmp-audio" => Some(8),
        "ertmp-video" => Some(9),
        "data" => Some(18),
        _ => None,
    }
}

/// Returns an input of the target `analysis`: a live stream with the same message every 40 ms.
fn stream(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut input = vec![0];
    for message in 0..12_u32 {
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        input.push(kind);
        input.extend((message * 40).to_be_bytes());
        input.extend(40_u16.to_be_bytes());
        input.extend(length.to_be_bytes());
        input.extend(&body[..length.into()]);
    }
    input
}

fn bytes(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// AMF0 marker before an AMF3 value.
const AVM_PLUS: u8 = 0x11;

const URLS: [(&str, &str); 6] = [
    ("plain", "rtmp://example.com/live/stream"),
    (
        "levels",
        "rtmps://user:pass%20word@example.com:8443/app/_definst_/mp4:dir/clip.mp4?token=a%2fb",
    ),
    ("address", "rtmpt://[2001:db8::1]/ondemand/file.flv"),
    (
        "akamai",
        "rtmpe://192.0.2.1:0/a/b?auth=x&slist=mp3:name.mp3",
    ),
    ("fragment", "rtmpte://example.com/a//b?c#stream%20name"),
    ("letters", "rtmpts://b%C3%BCcher.example/app/name.f4v?q"),
];

/// "rtmpull" ten times, uncompressed and compressed with Python 3.
const PLAYERS: [(&str, &[u8]); 3] = [
    (
        "plain",
        b"FWS\x09\x4e\0\0\0rtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpullrtmpull",
    ),
    (
        "zlib",
        b"CWS\x09\x4e\0\0\0\x78\xda\x2b\x2a\xc9\x2d\x28\xcd\xc9\x29\xa2\x8c\x02\0\x40\xb6\x1e\xa1",
    ),
    (
        "lzma",
        b"ZWS\x09\x4e\0\0\0\x13\0\0\0\x5d\0\0\x01\0\0\x39\x1d\x09\xde\xb3\x25\x9d\x53\xf2\xc7\
          \xac\x0d\xff\xff\xfa\xfb\x20\0",
    ),
];
