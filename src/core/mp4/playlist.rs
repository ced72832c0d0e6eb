//! Playlist of a growing file for HTTP Live Streaming (RFC 8216).
//!
//! The playlist refers to byte ranges of the file, which stay valid when the file is finished. It only grows, so
//! that it can be appended to a file, and its memory does not depend on the length of the recording.

use std::fmt::Write;

/// Playlist of one file.
#[derive(Debug, Clone)]
pub struct Playlist {
    /// Reference to the file.
    uri: String,
    /// Wall-clock time of the first frame, in the form of RFC 3339.
    start: String,
    /// Offset and length of the initialization section (RFC 8216 3.3).
    setup: Option<(u64, u64)>,
    /// Whether all segments can be decoded alone.
    is_audio: bool,
    /// Start of the segment that is not complete yet.
    first: Option<Boundary>,
    /// Latest position in this segment at which another one can start.
    next: Option<Boundary>,
    /// End of the latest fragment.
    end_us: u64,
    /// Lines that [`Playlist::take_lines`] has not returned yet.
    lines: String,
}

/// Start of a fragment.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    at_us: u64,
    offset: u64,
}

/// Facts of a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct FragmentFacts {
    /// Offset in the file.
    pub(super) offset: u64,
    /// Decoding time of the first frame of the main track in microseconds; `None` if the track has no frame here.
    pub(super) start_us: Option<u64>,
    /// End of the last frame in microseconds.
    pub(super) end_us: u64,
    /// Whether a decoder can start here.
    pub(super) is_start: bool,
}

impl Playlist {
    /// Creates the playlist of a file. `start` is the wall-clock time of the first frame (RFC 3339).
    pub fn new(file_name: &[u8], start: String) -> Self {
        Self {
            uri: encoded(file_name),
            start,
            setup: None,
            is_audio: false,
            first: None,
            next: None,
            end_us: 0,
            lines: String::new(),
        }
    }

    /// Sets the range of the initialization section.
    pub(super) fn set_setup(&mut self, offset: u64, length: u64, has_video: bool) {
        self.setup = Some((offset, length));
        self.is_audio = !has_video;
    }

    /// Adds the next fragment.
    pub(super) fn add(&mut self, fragment: FragmentFacts) {
        let start = Boundary {
            at_us: fragment.start_us.unwrap_or(self.end_us),
            offset: fragment.offset,
        };
        self.end_us = self.end_us.max(fragment.end_us);
        let Some(first) = self.first else {
            self.first = Some(start);
            return;
        };
        if fragment.is_start {
            self.next = Some(start);
            if start.at_us.saturating_sub(first.at_us) >= MIN_SEGMENT_US {
                self.end_segment(start);
            }
        }
        // A GOP that is longer than the target duration is divided.
        while let Some(first) = self.first
            && self.end_us.saturating_sub(first.at_us) > MAX_SEGMENT_US
            && first.offset < start.offset
        {
            self.end_segment(self.next.unwrap_or(start));
        }
    }

    /// Ends the last segment at the end of the file. No fragment follows.
    pub(super) fn finish(&mut self, length: u64) {
        let end = Boundary {
            at_us: self.end_us,
            offset: length,
        };
        self.end_segment(end);
        self.lines.push_str("#EXT-X-ENDLIST\n");
    }

    /// Returns complete lines to append to the playlist. The first lines are its header.
    pub(super) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    /// Adds the segment that ends at this boundary, where the next one starts.
    fn end_segment(&mut self, end: Boundary) {
        self.next = None;
        let Some(first) = self.first.replace(end) else {
            return;
        };
        self.put_header();
        let length = end.offset.saturating_sub(first.offset);
        // The duration of a segment must not exceed the target duration. Time that is missing
        // in the stream makes it longer.
        let duration_us = end.at_us.saturating_sub(first.at_us).min(TARGET_US);
        let (seconds, rest) = (duration_us / SECOND_US, duration_us % SECOND_US);
        let Boundary { offset, .. } = first;
        let _infallible = write!(
            self.lines,
            "#EXTINF:{seconds}.{rest:06},\n#EXT-X-BYTERANGE:{length}@{offset}\n{}\n",
            self.uri
        );
    }

    /// Adds the header before the first segment.
    fn put_header(&mut self) {
        let Some((offset, length)) = self.setup.take() else {
            return;
        };
        let independent = match self.is_audio {
            true => "#EXT-X-INDEPENDENT-SEGMENTS\n",
            false => "",
        };
        let target = TARGET_US / SECOND_US;
        let (uri, start) = (&self.uri, &self.start);
        let _infallible = write!(
            self.lines,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PLAYLIST-TYPE:EVENT\n\
             {independent}#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{length}@{offset}\"\n\
             #EXT-X-PROGRAM-DATE-TIME:{start}\n"
        );
    }
}

/// Returns the file name as a relative URI (RFC 3986 2.1 and 4.2).
fn encoded(file_name: &[u8]) -> String {
    let mut uri = String::new();
    for &byte in file_name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte.into());
            }
            _ => {
                let _infallible = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

const SECOND_US: u64 = 1_000_000;

/// Target duration: encoders without other settings have up to ten seconds between two keyframes.
const TARGET_US: u64 = 10 * SECOND_US;

/// Shortest duration of a segment before the next one starts at a keyframe.
const MIN_SEGMENT_US: u64 = 4 * SECOND_US;

/// Longest duration of a segment: rounded to seconds, it must not exceed the target duration (RFC 8216 4.3.3.1).
const MAX_SEGMENT_US: u64 = TARGET_US + 490_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn playlist() -> Playlist {
        let mut playlist = Playlist::new(b"a b.mp4", "2026-11-28T20:15:00.000+00:00".to_owned());
        playlist.set_setup(48, 700, true);
        playlist
    }

    /// Adds a fragment of 1,000 bytes from one time to another, in milliseconds.
    fn add(playlist: &mut Playlist, number: u64, from_ms: u64, to_ms: u64, is_start: bool) {
        playlist.add(FragmentFacts {
            offset: 1000 * number,
            start_us: Some(1000 * from_ms),
            end_us: 1000 * to_ms,
            is_start,
        });
    }

    /// Returns durations, lengths and offsets of the segments.
    fn segments(lines: &str) -> Vec<String> {
        let values = lines.lines().filter_map(|line| {
            let duration = line.strip_prefix("#EXTINF:");
            duration.or_else(|| line.strip_prefix("#EXT-X-BYTERANGE:"))
        });
        let values: Vec<_> = values.collect();
        values.chunks(2).map(<[&str]>::concat).collect()
    }

    #[test]
    fn playlist_lists_the_setup_the_segments_and_the_end() {
        let mut playlist = playlist();
        for second in 0..6 {
            add(
                &mut playlist,
                1 + second,
                1000 * second,
                1000 * second + 1000,
                second % 2 == 0,
            );
        }
        let first = playlist.take_lines();
        assert_eq!(
            first,
            "#EXTM3U\n\
             #EXT-X-VERSION:7\n\
             #EXT-X-TARGETDURATION:10\n\
             #EXT-X-PLAYLIST-TYPE:EVENT\n\
             #EXT-X-MAP:URI=\"a%20b.mp4\",BYTERANGE=\"700@48\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-28T20:15:00.000+00:00\n\
             #EXTINF:4.000000,\n\
             #EXT-X-BYTERANGE:4000@1000\n\
             a%20b.mp4\n"
        );
        playlist.finish(7000);
        assert_eq!(
            playlist.take_lines(),
            "#EXTINF:2.000000,\n\
             #EXT-X-BYTERANGE:2000@5000\n\
             a%20b.mp4\n\
             #EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn segments_start_at_keyframes_up_to_ten_seconds_apart() {
        let mut playlist = playlist();
        for second in 0..26 {
            let is_start = matches!(second, 0 | 3 | 13 | 23);
            add(
                &mut playlist,
                second,
                1000 * second,
                1000 * second + 1000,
                is_start,
            );
        }
        playlist.finish(26_000);
        let lines = playlist.take_lines();
        let expected = [
            "3.000000,3000@0",
            "10.000000,10000@3000",
            "10.000000,10000@13000",
        ];
        assert_eq!(segments(&lines)[..3], expected);
        assert_eq!(segments(&lines)[3..], ["3.000000,3000@23000"]);
    }

    #[test]
    fn no_segment_exceeds_the_target_duration() {
        let mut playlist = playlist();
        for second in 0..30 {
            add(
                &mut playlist,
                second,
                1000 * second,
                1000 * second + 1000,
                second == 0,
            );
        }
        // The last frame lasts until the end of a gap.
        add(&mut playlist, 30, 30_000, 90_000, false);
        add(&mut playlist, 31, 90_000, 91_000, true);
        playlist.finish(32_000);
        let lines = playlist.take_lines();
        let expected = [
            "10.000000,10000@0",
            "10.000000,10000@10000",
            "10.000000,10000@20000",
            "10.000000,1000@30000",
            "1.000000,1000@31000",
        ];
        assert_eq!(segments(&lines), expected);
    }

    #[test]
    fn audio_segments_are_independent() {
        let mut playlist = playlist();
        playlist.set_setup(32, 400, false);
        add(&mut playlist, 0, 0, 1000, true);
        playlist.finish(1000);
        let lines = playlist.take_lines();
        assert!(lines.contains("#EXT-X-INDEPENDENT-SEGMENTS\n"), "{lines}");
    }
}
