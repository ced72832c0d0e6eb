//! Compares a file with its source, as demuxed by ffmpeg.

use std::{collections::BTreeMap, path::Path};

use crate::peers::ffmpeg::{Ffmpeg, ffprobe};

/// Audio and video packets of a file, as demuxed by ffmpeg.
#[derive(Debug, PartialEq)]
pub struct Media {
    pub video: Track,
    pub audio: Track,
}

/// Track of a file, without packets if the file has no such track.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Track {
    pub codec: String,
    /// Hash of the codec's sequence header, if it has one.
    pub sequence_header: Option<String>,
    pub packets: Vec<Packet>,
}

/// Demuxed packet.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    pub dts_ms: i64,
    pub pts_ms: i64,
    pub hash: String,
}

impl Media {
    /// Demuxes `file`, which may be a URL.
    #[track_caller]
    pub fn read(ffmpeg: &Ffmpeg, file: &Path) -> Self {
        Self::read_with(ffmpeg, &[], file)
    }

    /// Demuxes `file` with these options of ffmpeg for the input.
    #[track_caller]
    pub fn read_with(ffmpeg: &Ffmpeg, options: &[&str], file: &Path) -> Self {
        let hashes = ["-map", "0:v?", "-map", "0:a?", "-c", "copy", "-copyts"];
        let sink = ["-f", "framehash", "-hash", "md5", "-"];
        let input = ["-i".as_ref(), file.as_os_str()].into_iter();
        let arguments = options.iter().map(AsRef::as_ref).chain(input);
        let arguments = arguments.chain(hashes.iter().chain(&sink).map(AsRef::as_ref));
        let finished = ffmpeg.run(arguments).succeeded();
        assert_eq!(finished.stderr, "", "ffmpeg on {}", file.display());
        Self::parse(&String::from_utf8_lossy(&finished.stdout))
    }

    fn parse(hashes: &str) -> Self {
        let mut tracks = BTreeMap::<&str, (Track, String, f64)>::new();
        for line in hashes.lines() {
            let Some(comment) = line.strip_prefix('#') else {
                let fields: Vec<_> = line.split(',').map(str::trim).collect();
                let (track, _, tick_ms) = tracks.entry(fields[0]).or_default();
                let [dts_ms, pts_ms] = [fields[1], fields[2]].map(|ticks| {
                    let ticks: f64 = ticks.parse().expect("a time");
                    (ticks * *tick_ms).round() as i64
                });
                let hash = format!("{} bytes {}", fields[4], fields[5]);
                track.packets.push(Packet {
                    dts_ms,
                    pts_ms,
                    hash,
                });
                continue;
            };
            if let Some((index, hash)) = comment
                .strip_prefix("extradata ")
                .and_then(|rest| rest.split_once(','))
            {
                tracks.entry(index).or_default().0.sequence_header = Some(hash.trim().into());
            }
            let Some((key, value)) = comment.split_once(": ") else {
                continue;
            };
            match key.split_once(' ') {
                Some(("tb", index)) => tracks.entry(index).or_default().2 = milliseconds(value),
                Some(("media_type", index)) => tracks.entry(index).or_default().1 = value.into(),
                Some(("codec_id", index)) => {
                    tracks.entry(index).or_default().0.codec = value.into()
                }
                _ => {}
            }
        }
        let mut take = |kind| {
            let found = tracks.iter().find(|(_, (_, this, _))| this == kind);
            let index = found.map(|(index, _)| *index)?;
            tracks.remove(index).map(|(track, ..)| track)
        };
        Self {
            video: take("video").unwrap_or_default(),
            audio: take("audio").unwrap_or_default(),
        }
    }

    /// Panics unless all packets of `source` are present, in order, unchanged and at the same
    /// times.
    #[track_caller]
    pub fn assert_equals(&self, source: &Self) {
        self.assert_start_of(source, 0);
        self.assert_same_times(source, |_, _| 0);
    }

    /// Panics unless each track starts like that of `source` and lacks at most `missing` packets.
    /// Times are not compared.
    #[track_caller]
    pub fn assert_start_of(&self, source: &Self, missing: usize) {
        for (kind, found, expected) in self.tracks(source) {
            let (found, expected) = (found.hashes(), expected.hashes());
            let same = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
            assert_eq!(same, found.len(), "{kind} packets equal to the source");
            let lacks = expected.len() - found.len();
            assert!(lacks <= missing, "{kind} lacks {lacks} packets");
        }
    }

    /// Panics unless each track is the end of that of `source`, as received by a player that joins
    /// late.
    #[track_caller]
    pub fn assert_tail_of(&self, source: &Self) {
        for (kind, found, expected) in self.tracks(source) {
            let (found, expected) = (found.hashes(), expected.hashes());
            let count = found.len();
            assert!(count > 0 || expected.is_empty(), "no {kind}");
            assert!(
                expected.ends_with(&found),
                "{kind} is not the source's last {count} packets"
            );
        }
        self.assert_same_times(source, |found, expected| expected - found);
    }

    /// Panics unless each track is a contiguous excerpt of that of `source`, as received by a
    /// player that joins late from a publisher that leaves early.
    #[track_caller]
    pub fn assert_excerpt_of(&self, source: &Self) {
        let [video, audio] = self
            .tracks(source)
            .map(|(kind, found, expected)| expected.excerpt_matching(found, kind));
        self.assert_equals(&Self { video, audio });
    }

    /// Panics unless all packets are shifted by the same time against `source`. `first` maps the
    /// packet counts of both tracks to the index of the first matching packet in `source`.
    #[track_caller]
    fn assert_same_times(&self, source: &Self, first: impl Fn(usize, usize) -> usize) {
        self.assert_same(|packet| packet.dts_ms, source, first);
    }

    /// Panics unless all packets of `source` are present, in order, unchanged and presented at the same
    /// times. Decoding times, which have no effect on the presentation, may differ.
    #[cfg(unix)]
    #[track_caller]
    pub fn assert_presents(&self, source: &Self) {
        self.assert_start_of(source, 0);
        self.assert_same(|packet| packet.pts_ms, source, |_, _| 0);
    }

    /// Like [`Media::assert_excerpt_of`], for decoding times that may differ.
    #[cfg(unix)]
    #[track_caller]
    pub fn assert_presents_excerpt_of(&self, source: &Self) {
        let [video, audio] = self
            .tracks(source)
            .map(|(kind, found, expected)| expected.excerpt_matching(found, kind));
        self.assert_presents(&Self { video, audio });
    }

    #[track_caller]
    fn assert_same(
        &self,
        time: impl Fn(&Packet) -> i64,
        source: &Self,
        first: impl Fn(usize, usize) -> usize,
    ) {
        let time = &time;
        let shifts = self
            .tracks(source)
            .into_iter()
            .flat_map(|(_, found, expected)| {
                let first = first(found.packets.len(), expected.packets.len());
                let pairs = found.packets.iter().zip(&expected.packets[first..]);
                pairs.map(|(found, expected)| time(found) - time(expected))
            });
        let shifts: Vec<_> = shifts.collect();
        let (Some(least), Some(most)) = (shifts.iter().min(), shifts.iter().max()) else {
            panic!("no packets");
        };
        assert!(
            most - least <= ROUNDING_MS,
            "shifted by {least} to {most} ms"
        );
    }

    /// Returns the pairs of tracks. Panics unless their codecs and sequence headers are equal.
    #[track_caller]
    fn tracks<'a>(&'a self, source: &'a Self) -> [(&'static str, &'a Track, &'a Track); 2] {
        let tracks = [
            ("video", &self.video, &source.video),
            ("audio", &self.audio, &source.audio),
        ];
        for (kind, found, expected) in tracks {
            assert_eq!(found.codec, expected.codec, "{kind} codec");
            assert_eq!(
                found.sequence_header, expected.sequence_header,
                "{kind} sequence header"
            );
        }
        tracks
    }
}

impl Track {
    /// Returns the packets from the first packet of `other` on, as many as `other` has.
    #[track_caller]
    fn excerpt_matching(&self, other: &Self, kind: &str) -> Self {
        let first = other.hashes().first().copied();
        let start = self.hashes().iter().position(|hash| Some(*hash) == first);
        let start = start.unwrap_or_else(|| panic!("no {kind} of the source"));
        let packets = self.packets[start..].iter().take(other.packets.len());
        Self {
            packets: packets.cloned().collect(),
            ..self.clone()
        }
    }

    fn hashes(&self) -> Vec<&str> {
        self.packets.iter().map(|packet| &*packet.hash).collect()
    }
}

/// Panics unless `ours` has every packet of `source`, the same duration, and is accepted by
/// ffprobe.
#[track_caller]
pub fn assert_complete_copy(ffmpeg: &Ffmpeg, source: &Path, ours: &Path) {
    Media::read(ffmpeg, ours).assert_equals(&Media::read(ffmpeg, source));
    let (expected, found) = (duration(source), duration(ours));
    assert!(
        (expected - found).abs() < 0.1,
        "lasts {found} s, source {expected} s"
    );
    assert_ffprobe_accepts(ours);
}

/// Panics unless the MP4 file `ours` presents every packet of `source` at its time, has the same duration, and
/// is accepted by ffprobe.
#[cfg(unix)]
#[track_caller]
pub fn assert_presents_copy(ffmpeg: &Ffmpeg, source: &Path, ours: &Path) {
    let mut media = Media::read(ffmpeg, source);
    // ffmpeg demuxes the sequence header of Opus as a packet without bytes.
    let audio = &mut media.audio.packets;
    audio.retain(|packet| !packet.hash.starts_with("0 bytes"));
    // ffmpeg has no extradata for VP9 in MP4, because the decoder does not need the record.
    if media.video.codec == "vp9" {
        media.video.sequence_header = None;
    }
    Media::read(ffmpeg, ours).assert_presents(&media);
    let tracks = [&media.video, &media.audio];
    let times = tracks.map(|track| track.packets.iter().map(|packet| packet.pts_ms));
    let times: Vec<_> = times.into_iter().flatten().collect();
    let (first, last) = (times.iter().min(), times.iter().max());
    let expected = (last.expect("a packet") - first.expect("a packet")) as f64 / 1000.0;
    let found = duration(ours);
    assert!(
        (expected - found).abs() < 0.15,
        "lasts {found} s, source {expected} s"
    );
    assert_ffprobe_accepts(ours);
}

/// Panics if ffprobe reports an error in `file`.
#[track_caller]
pub fn assert_ffprobe_accepts(file: &Path) {
    let finished = ffprobe(&["-show_packets"], file).succeeded();
    assert_eq!(finished.stderr, "", "ffprobe on {}", file.display());
}

/// Returns the duration of `file` in seconds, as stored in the container.
#[track_caller]
pub fn duration(file: &Path) -> f64 {
    let finished = ffprobe(
        &["-show_entries", "format=duration", "-of", "csv=p=0"],
        file,
    );
    let text = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    text.parse()
        .unwrap_or_else(|_| panic!("{} lasts {text:?}", file.display()))
}

/// Converts a time base such as "1/1000" to milliseconds per tick.
fn milliseconds(time_base: &str) -> f64 {
    let (numerator, denominator) = time_base.split_once('/').expect("a fraction");
    let parse = |text: &str| text.trim().parse::<f64>().expect("a number");
    1000.0 * parse(numerator) / parse(denominator)
}

/// Returns the names of the top-level boxes of a file.
#[cfg(unix)]
pub fn boxes(file: &Path) -> Vec<String> {
    boxes_in(&std::fs::read(file).expect("the file exists"))
}

/// Returns the names of the top-level boxes in these bytes.
#[cfg(unix)]
pub fn boxes_in(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut names = Vec::new();
    while let [a, b, c, d, kind @ ..] = rest {
        names.push(String::from_utf8_lossy(&kind[..4]).into_owned());
        let length = match u32::from_be_bytes([*a, *b, *c, *d]) {
            1 => u64::from_be_bytes(rest[8..16].try_into().expect("eight bytes")),
            length => length.into(),
        };
        rest = &rest[length as usize..];
    }
    names
}

/// Packet times are not always integral milliseconds.
const ROUNDING_MS: i64 = 1;
