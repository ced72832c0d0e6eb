//! Every codec in MP4, read by every available reader.
//!
//! The expected samples come from the FLV recording of the same stream.

use std::{fs, path::PathBuf};

use md5::{Digest, Md5};
use mp4_atom::DecodeMaybe;
use shiguredo_mp4::{
    TrackKind,
    demux::{Fmp4FileDemuxer, Input, Mp4FileDemuxer},
};

use super::*;
use crate::{parallel, peers::gstreamer::GStreamer};

#[test]
fn readers_agree_on_avc_and_aac() {
    let ffmpeg = require!(Ffmpeg::find());
    Source::flv(fixtures::avc_aac_flv(&ffmpeg)).verify();
}

#[test]
fn readers_agree_on_reordered_avc() {
    let ffmpeg = require!(Ffmpeg::find());
    Source::flv(fixtures::avc_b_frames_flv(&ffmpeg)).verify();
}

#[test]
fn readers_agree_on_mp3() {
    let ffmpeg = require!(Ffmpeg::find());
    Source::flv(fixtures::mp3_flv(&ffmpeg)).verify();
}

#[test]
fn readers_agree_on_he_aac() {
    for (name, bytes) in [("HE-AAC", HE_AAC), ("HE-AACv2", HE_AAC_V2)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let flv = folder.path().join("he_aac.flv");
        fs::write(&flv, bytes).expect("a file");
        let ffmpeg = require!(Ffmpeg::find());
        let source = Source::flv(flv);
        let recordings = source.verify();
        for file in recordings.iter().flat_map(Recordings::mp4) {
            let entries = ["-show_entries", "stream=profile,sample_rate,channels"];
            let options = [&entries[..], &["-of", "csv=p=0"]].concat();
            let finished = crate::peers::ffmpeg::ffprobe(&options, &file).succeeded();
            let text = String::from_utf8_lossy(&finished.stdout);
            assert_eq!(text.trim(), format!("{name},48000,2"));
            ffmpeg.assert_plays(&file);
        }
    }
}

#[test]
fn readers_agree_on_hevc_and_aac() {
    let recent = require!(Ffmpeg::find_recent());
    Source::flv(fixtures::hevc_aac_flv(&recent)).verify();
}

#[test]
fn readers_agree_on_hevc_with_the_unofficial_number() {
    let recent = require!(Ffmpeg::find_recent());
    let mut source = Source::flv(fixtures::hevc_aac_flv(&recent));
    source.clip.tags.iter_mut().for_each(use_unofficial_number);
    source.verify();
}

#[test]
fn readers_agree_on_reordered_vvc() {
    let recent = require!(Ffmpeg::find_recent());
    let mut source = Source::flv(fixtures::vvc_flv(&recent));
    source.is_new_codec = true;
    source.verify();
}

#[test]
fn readers_agree_on_av1_and_opus() {
    let recent = require!(Ffmpeg::find_recent());
    let mut source = Source::flv(fixtures::av1_opus_flv(&recent));
    // ffmpeg removes the temporal delimiters of AV1 if it writes MP4.
    source.remuxed = "out.nut";
    source.verify();
}

#[test]
fn readers_agree_on_vp9_and_opus() {
    let recent = require!(Ffmpeg::find_recent());
    Source::flv(fixtures::vp9_opus_flv(&recent)).verify();
}

#[test]
fn readers_agree_on_vp8() {
    let recent = require!(Ffmpeg::find_recent());
    let ivf = fixtures::vp8_ivf(&recent);
    let source = Source {
        clip: vp8_clip(&fs::read(&ivf).expect("the file exists")),
        readable: ivf,
        // ffmpeg does not write VP8 to MP4.
        remuxed: "out.mkv",
        is_new_codec: false,
    };
    source.verify();
}

#[test]
fn readers_agree_on_avc_and_flac() {
    let recent = require!(Ffmpeg::find_recent());
    Source::flv(fixtures::avc_flac_flv(&recent)).verify();
}

#[test]
fn readers_agree_on_avc_and_ac3() {
    let recent = require!(Ffmpeg::find_recent());
    Source::flv(fixtures::avc_ac3_flv(&recent)).verify();
}

#[test]
fn readers_agree_on_avc_and_eac3() {
    let recent = require!(Ffmpeg::find_recent());
    Source::flv(fixtures::avc_eac3_flv(&recent)).verify();
}

/// A stream.
struct Source {
    clip: Clip,
    /// The same media in a file that ffmpeg can read.
    readable: PathBuf,
    /// Name of a file that ffmpeg can copy the media to.
    remuxed: &'static str,
    /// Whether the packaged readers do not support the codec: ffmpeg from PyPI does.
    is_new_codec: bool,
}

/// Recordings of one stream.
struct Recordings {
    flv: Recorded,
    finished: Recorded,
    fragmented: Recorded,
    /// The stream, copied by ffmpeg.
    remuxed: Media,
}

/// A sample as a reader returns it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    shown_ms: f64,
    md5: String,
}

/// Video and audio samples, each in decoding order.
pub(super) type Samples = [Vec<Sample>; 2];

impl Source {
    fn flv(readable: PathBuf) -> Self {
        Self {
            clip: Clip::read(&readable),
            readable,
            remuxed: "out.mp4",
            is_new_codec: false,
        }
    }

    /// Records the stream and compares what each reader returns.
    fn verify(&self) -> Option<Recordings> {
        let Some(recent) = Ffmpeg::find_recent() else {
            crate::peers::skip("ffmpeg from PyPI");
            return None;
        };
        println!("{}", self.readable.display());
        let recordings = self.record(&recent);
        let expected = samples_of_flv(&Clip::read(&recordings.flv.path("out.flv")));
        let [video, audio] = &expected;
        assert!(video.len() + audio.len() > 40, "the source has samples");
        parallel::for_each(recordings.mp4(), |file| {
            let is_finished = boxes(&file) == ["ftyp", "mdat", "moov"];
            assert_eq!(is_finished, file == recordings.finished.path("out.mp4"));
            recordings.assert_ffmpeg_agrees(&recent, &file);
            if !self.is_new_codec {
                assert_old_ffmpeg_agrees(&file);
            }
            assert_shiguredo_agrees(&file, is_finished, &expected);
            assert_is_strict(&file);
            if self.is_new_codec {
                return;
            }
            assert_gstreamer_agrees(&file, &expected);
            assert_mpv_seeks(&file, &expected);
        });
        Some(recordings)
    }

    fn record(&self, recent: &Ffmpeg) -> Recordings {
        let record = |output, options: &[&str]| {
            let recorded = Recording::new(output, options).of(self.clip.clone());
            recorded.finished.assert_ended(0, "ended");
            recorded
        };
        let remuxed = tempfile::tempdir().expect("a temporary folder");
        let file = remuxed.path().join(self.remuxed).into_os_string();
        let copy = ["-map", "0", "-c", "copy"].map(Into::into);
        let input = ["-i".into(), self.readable.clone().into_os_string()];
        let arguments = input.into_iter().chain(copy).chain([file]);
        recent.run(arguments).succeeded();
        let mut remuxed = Media::read(recent, &remuxed.path().join(self.remuxed));
        // ffmpeg copies the sequence header of Opus as a packet without bytes.
        let audio = &mut remuxed.audio.packets;
        audio.retain(|packet| !packet.hash.starts_with("0 bytes"));
        Recordings {
            flv: record("out.flv", &[]),
            finished: record("out.mp4", &[]),
            fragmented: record("out.mp4", &["--no-index"]),
            remuxed,
        }
    }
}

impl Recordings {
    fn mp4(&self) -> [PathBuf; 2] {
        [&self.finished, &self.fragmented].map(|recorded| recorded.path("out.mp4"))
    }

    /// Compares the file with that of ffmpeg, and decodes it.
    fn assert_ffmpeg_agrees(&self, recent: &Ffmpeg, file: &Path) {
        let mut found = Media::read(recent, file);
        // ffmpeg loses the last audio frame of an FLV file if the duration of the frame is unknown.
        let copied = &self.remuxed.audio.packets;
        assert!(found.audio.packets.len() <= copied.len() + 1);
        found.audio.packets.truncate(copied.len());
        found.assert_presents(&self.remuxed);
        recent.assert_plays(file);
    }
}

fn assert_old_ffmpeg_agrees(file: &Path) {
    if let Some(ffmpeg) = Ffmpeg::find() {
        ffmpeg.assert_plays(file);
        assert_ffprobe_accepts(file);
    }
}

/// Panics unless `found` has the expected samples, all shifted by the same time.
#[track_caller]
fn assert_samples(reader: &str, found: &[Sample], expected: &[Sample]) {
    assert_eq!(found.len(), expected.len(), "{reader}: number of samples");
    let shift_ms = |(found, expected): (&Sample, &Sample)| found.shown_ms - expected.shown_ms;
    let first_ms = found.iter().zip(expected).map(shift_ms).next();
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.md5, expected.md5, "{reader}: sample {number}");
        let error_ms = shift_ms((found, expected)) - first_ms.unwrap_or(0.0);
        assert!(
            error_ms.abs() <= 1.1,
            "{reader}: sample {number} is presented {error_ms} ms late"
        );
    }
}

/// Panics unless a finished file has the expected samples.
#[track_caller]
pub(super) fn assert_same_samples(file: &Path, expected: &Samples) {
    assert_shiguredo_agrees(file, true, expected);
}

#[track_caller]
fn assert_shiguredo_agrees(file: &Path, is_finished: bool, expected: &Samples) {
    let bytes = fs::read(file).expect("the file exists");
    let found = match is_finished {
        true => demuxed(&bytes, Mp4FileDemuxer::new()),
        false => demuxed(&bytes, Fmp4FileDemuxer::new()),
    };
    for (found, expected) in found.iter().zip(expected) {
        assert_samples("shiguredo_mp4", found, expected);
    }
}

/// Demultiplexes a file. The demuxers have the same functions but no common trait.
trait Demuxer {
    /// Returns whether the samples that `bytes` contains were passed to `add`.
    fn demux(self, bytes: &[u8], add: &mut dyn FnMut(shiguredo_mp4::demux::Sample<'_>));
}

macro_rules! demuxer {
    ($($demuxer:ty),*) => {$(
        impl Demuxer for $demuxer {
            fn demux(mut self, bytes: &[u8], add: &mut dyn FnMut(shiguredo_mp4::demux::Sample<'_>)) {
                loop {
                    while let Some(required) = self.required_input() {
                        let position = (required.position as usize).min(bytes.len());
                        let end = required.size.map_or(bytes.len(), |size| position + size);
                        let data = &bytes[position..end.min(bytes.len())];
                        self.handle_input(Input { position: required.position, data });
                    }
                    match self.next_sample().expect("a readable file") {
                        Some(sample) => add(sample),
                        None => return,
                    }
                }
            }
        }
    )*};
}
demuxer!(Mp4FileDemuxer, Fmp4FileDemuxer);

fn demuxed(bytes: &[u8], demuxer: impl Demuxer) -> Samples {
    let mut samples = Samples::default();
    demuxer.demux(bytes, &mut |sample| {
        let ticks = sample.timestamp as i64 + sample.composition_time_offset.unwrap_or(0);
        let start = sample.data_offset as usize;
        samples[usize::from(sample.track.kind == TrackKind::Audio)].push(Sample {
            shown_ms: ticks as f64 * 1000.0 / f64::from(u32::from(sample.track.timescale)),
            md5: md5_of(&bytes[start..start + sample.data_size]),
        });
    });
    samples
}

/// Decodes all boxes with mp4-atom, which rejects unknown and incomplete ones.
#[track_caller]
fn assert_is_strict(file: &Path) {
    let bytes = fs::read(file).expect("the file exists");
    let mut rest = &bytes[..];
    while let Some(atom) = mp4_atom::Any::decode_maybe(&mut rest).expect("a readable box") {
        let is_known = !matches!(atom, mp4_atom::Any::Unknown(..));
        assert!(is_known, "{atom:?}");
    }
    assert!(rest.is_empty());
}

fn assert_gstreamer_agrees(file: &Path, expected: &Samples) {
    let gstreamer = require!(GStreamer::find());
    let tracks = ["video_0", "audio_0"].into_iter().zip(expected);
    let tracks: Vec<_> = tracks
        .filter(|(_, expected)| !expected.is_empty())
        .collect();
    for (track, expected) in &tracks {
        let samples = gstreamer.samples(file, track).into_iter();
        let samples = samples.map(|(shown_ms, md5)| Sample { shown_ms, md5 });
        assert_samples("qtdemux", &samples.collect::<Vec<_>>(), expected);
    }
    let names: Vec<_> = tracks.iter().map(|(track, _)| *track).collect();
    gstreamer.assert_plays(file, &names);
}

#[cfg(target_os = "linux")]
fn assert_mpv_seeks(file: &Path, [video, _]: &Samples) {
    let mpv = require!(Mpv::find());
    for wanted in [0.4, 1.3, 1.8] {
        let found = match video.is_empty() {
            true => mpv.seek_sound(file, wanted),
            false => mpv.seek(file, wanted),
        };
        assert!(
            (wanted - found).abs() <= 1.1,
            "{found} s instead of {wanted} s"
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn assert_mpv_seeks(_file: &Path, _expected: &Samples) {}

/// Returns the samples of an FLV file. This parser is independent of the tested one.
pub(super) fn samples_of_flv(clip: &Clip) -> Samples {
    let mut samples = Samples::default();
    for tag in clip.media().filter(|tag| !tag.is_sequence_header()) {
        let header = frame_header(tag).filter(|(skip, _)| *skip < tag.body.len());
        let Some((skip, composition_ms)) = header else {
            continue;
        };
        samples[usize::from(tag.kind == Tag::AUDIO)].push(Sample {
            shown_ms: f64::from(tag.timestamp_ms) + f64::from(composition_ms),
            md5: md5_of(&tag.body[skip..]),
        });
    }
    samples
}

/// Returns the length of the header before the sample (FLV E.4.2, E.4.3 and Enhanced RTMP), and the
/// composition time. Returns `None` if the tag is not a frame.
fn frame_header(tag: &Tag) -> Option<(usize, i32)> {
    let body = &tag.body;
    let composition_ms =
        |at: usize| i32::from_be_bytes([body[at], body[at + 1], body[at + 2], 0]) >> 8;
    let is_frame = |kind: u8| kind == 1 || kind == 3;
    match (tag.kind, *body.first()?) {
        (Tag::AUDIO, first) if first >> 4 == 9 => (first & 0x0F == 1).then_some((5, 0)),
        (Tag::AUDIO, first) => Some((if first >> 4 == 10 { 2 } else { 1 }, 0)),
        (_, first) if first & 0x80 == 0 => (body[1] == 1).then(|| (5, composition_ms(2))),
        (_, first) if !is_frame(first & 0x0F) => None,
        (_, first)
            if first & 0x0F == 1
                && [b"avc1", b"hvc1", b"vvc1"].contains(&&body[1..5].try_into().ok()?) =>
        {
            Some((8, composition_ms(5)))
        }
        _ => Some((5, 0)),
    }
}

/// Rewrites an HEVC tag of Enhanced RTMP to the tag with number 12 that some encoders send.
fn use_unofficial_number(tag: &mut Tag) {
    let [first, b'h', b'v', b'c', b'1', rest @ ..] = &tag.body[..] else {
        return;
    };
    let first_byte = first & 0x70 | 12;
    tag.body = match first & 0x0F {
        0 => [&[first_byte, 0, 0, 0, 0], rest].concat(),
        1 => [&[first_byte, 1], rest].concat(),
        3 => [&[first_byte, 1, 0, 0, 0], rest].concat(),
        _ => vec![first_byte, 2, 0, 0, 0],
    };
}

/// Returns VP8 in the tags of Enhanced RTMP. ffmpeg does not write it to FLV.
fn vp8_clip(ivf: &[u8]) -> Clip {
    let mut clip = Clip::default();
    let mut rest = &ivf[32..];
    while let Some((header, frames)) = rest.split_at_checked(12) {
        let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let number = u32::from_le_bytes(header[4..8].try_into().expect("four bytes"));
        let frame = &frames[..length];
        // The first bit of a keyframe is 0 (RFC 6386 9.1).
        let first = if frame[0] & 1 == 0 { 0x91 } else { 0xA1 };
        clip.tags.push(Tag {
            kind: Tag::VIDEO,
            timestamp_ms: number * 40,
            body: [&[first], &b"vp08"[..], frame].concat(),
        });
        rest = &frames[length..];
    }
    clip
}

fn md5_of(bytes: &[u8]) -> String {
    let hash = Md5::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two seconds of a tone at 48 kHz, stereo, with explicit signaling (ISO 14496-3 1.6.5). Made with fdk-aac 0.8,
/// because the free encoders of ffmpeg do not support the profiles.
pub(super) const HE_AAC: &[u8] = include_bytes!("he_aac.flv");
const HE_AAC_V2: &[u8] = include_bytes!("he_aac_v2.flv");
