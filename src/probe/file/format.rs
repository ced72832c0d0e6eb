//! Names of other formats, by the first bytes of a file.

/// Returns the format of a file that starts with these bytes, with its article.
pub(super) fn name(start: &[u8]) -> Option<&'static str> {
    let is_transport_stream =
        start.first() == Some(&SYNC_BYTE) && start.get(TS_PACKET) == Some(&SYNC_BYTE);
    if is_transport_stream {
        return Some("an MPEG transport stream");
    }
    let mut formats = FORMATS.iter();
    let found = formats.find(|(first, _)| start.starts_with(first));
    found.map(|(_, name)| *name)
}

/// Number of bytes that determine the format.
pub(super) const START_BYTES: u64 = TS_PACKET as u64 + 1;

/// Length of a packet of a transport stream in bytes, and its first byte (ISO 13818-1 2.4.3).
const TS_PACKET: usize = 188;
const SYNC_BYTE: u8 = 0x47;

/// First bytes of formats.
const FORMATS: [(&[u8], &str); 16] = [
    (b"\x1A\x45\xDF\xA3", "a Matroska or WebM file"),
    (b"\0\0\x01\xBA", "an MPEG program stream"),
    (b"#EXTM3U", "an HLS playlist"),
    (b"OggS", "an Ogg file"),
    (b"RIFF", "an AVI, WAV or WebP file"),
    (b"ID3", "an MP3 file"),
    (b"\xFF\xD8\xFF", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"FWS", "a Flash player (SWF)"),
    (b"CWS", "a Flash player (SWF)"),
    (b"ZWS", "a Flash player (SWF)"),
    (
        b"\x0A\x0D\x0D\x0A",
        "a pcapng capture, which --replay reads",
    ),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        let mut packets = [0; 400];
        (packets[0], packets[188]) = (0x47, 0x47);
        assert_eq!(name(&packets), Some("an MPEG transport stream"));
        assert_eq!(name(&packets[..188]), None);
        assert_eq!(name(b"<html>"), Some("an HTML page"));
        assert_eq!(name(b"<htm"), None);
        assert_eq!(name(b""), None);
    }
}
