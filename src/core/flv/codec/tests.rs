use std::fmt::Debug;

use proptest::prelude::*;
use serde_json::Value;

use super::{
    audio::{ChannelLayout, ChannelOrder, aac, ac3, flac, mp3, opus},
    video::{av1, h263, screen, vp9, vvc},
    *,
};

/// Returns the result of `parse` for `bytes`. Checks that the result for `bytes` cut at any byte is the same or
/// `None`.
pub(super) fn when_cut<'a, T: PartialEq + Debug>(
    bytes: &'a [u8],
    parse: impl Fn(&'a [u8]) -> Option<T>,
) -> Option<T> {
    let complete = parse(bytes);
    for length in 0..bytes.len() {
        let cut = parse(&bytes[..length]);
        assert!(
            cut.is_none() || cut == complete,
            "{cut:?} from {length} bytes, {complete:?} from all"
        );
    }
    complete
}

/// Returns the result of `parse` for `bytes`. Checks that `bytes` cut at any byte have the same properties or
/// fewer.
pub(super) fn video_when_cut(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Option<VideoDescription>,
) -> Option<VideoDescription> {
    let complete = parse(bytes);
    for length in 0..bytes.len() {
        if let Some(cut) = parse(&bytes[..length]) {
            let mut filled = cut;
            filled.fill_from(&complete.expect("a description of all bytes"));
            assert_eq!(Some(filled), complete, "{length} bytes");
        }
    }
    complete
}

pub(super) fn pixels(width: u32, height: u32) -> Option<PictureSize> {
    PictureSize::new(width, height)
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| (digit as char).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    assert_eq!(digits.len(), text.len(), "{text}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Vector whose input is the body of a tag.
struct Vector {
    name: String,
    is_video: bool,
    input: Vec<u8>,
    expected: serde_json::Map<String, Value>,
}

/// Returns the wanted vectors of tag bodies: those of two areas, and those of area "flv" with a tag type.
fn vectors(is_wanted: impl Fn(&Vector) -> bool) -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/vectors.json"
    )))
    .expect("the file is JSON");
    let all = file["vectors"].as_array().expect("an array of vectors");
    let has_tag_body = |vector: &&Value| {
        let area = vector["area"].as_str().unwrap_or_default();
        matches!(area, "ertmp-video" | "ertmp-audio")
            || area == "flv" && !vector["params"]["tag"].is_null()
    };
    all.iter()
        .filter(has_tag_body)
        .map(|vector| Vector {
            name: vector["name"].as_str().expect("a name").to_owned(),
            is_video: match vector["params"]["tag"].as_str() {
                Some("video") => true,
                Some("audio") => false,
                other => panic!("unexpected tag type {other:?}"),
            },
            input: hex(vector["input"].as_str().expect("an input")),
            expected: vector["expected"].as_object().expect("fields").clone(),
        })
        .filter(is_wanted)
        .collect()
}

#[test]
fn vectors_of_video_tags() {
    let vectors: Vec<Vector> = vectors(|vector| vector.is_video);
    assert_eq!(vectors.len(), 23 + 9, "vectors of ertmp-video and flv");
    for vector in vectors {
        match VideoTag::parse(&vector.input) {
            Ok(tag) => check_video(&vector, &tag),
            Err(error) => assert_eq!(
                vector.expected["error"],
                error.to_string(),
                "{}",
                vector.name
            ),
        }
    }
}

#[test]
fn vectors_of_audio_tags() {
    let vectors: Vec<Vector> = vectors(|vector| !vector.is_video);
    assert_eq!(vectors.len(), 12 + 4, "vectors of ertmp-audio and flv");
    for vector in vectors {
        match AudioTag::parse(&vector.input) {
            Ok(tag) => check_audio(&vector, &tag),
            Err(error) => {
                assert_eq!(error, Error::Empty, "{}", vector.name);
                assert_eq!(vector.expected["silence"], true, "{}", vector.name);
            }
        }
    }
}

/// Checks each expected field of a vector. An unknown field fails.
fn check_video(vector: &Vector, tag: &VideoTag<'_>) {
    let name = &vector.name;
    let tracks: Vec<VideoTrack<'_>> = tag
        .tracks()
        .map(|track| track.unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    let first = || {
        tracks
            .first()
            .unwrap_or_else(|| panic!("{name} has no track"))
    };
    let size = || {
        first()
            .picture_size()
            .unwrap_or_else(|| panic!("{name} has no size"))
    };
    let vp9 = || vp9::ConfigurationRecord::parse(first().body).expect("a VP9 configuration");
    for (field, expected) in &vector.expected {
        let actual: Value = match field.as_str() {
            "ex" => tag.is_enhanced.into(),
            "frame_type" => tag.frame.0.into(),
            "codec" => tag.codec().map(VideoCodec::id).into(),
            "packet" => tag.packet.to_string().into(),
            "nano" => tag.nano_offset_ns.into(),
            "multitrack" => tag.multitrack().map(|kind| kind.0).into(),
            "command" => tag.command.into(),
            "tracks" => {
                let expected = expected.as_array().expect("tracks");
                assert_eq!(tracks.len(), expected.len(), "{name}");
                for (track, expected) in tracks.iter().zip(expected) {
                    check_track(name, track.id, track.codec.id(), track.body, expected);
                    let composition_time_ms = expected["cts"].as_i64().unwrap_or_default();
                    assert_eq!(
                        i64::from(track.composition_time_ms),
                        composition_time_ms,
                        "{name}"
                    );
                }
                continue;
            }
            "body" => encode_hex(first().body).into(),
            "cts" => first().composition_time_ms.into(),
            "is_config" => {
                assert_ne!(
                    tag.is_sequence_header(),
                    tag.carries_media() || first().body.is_empty()
                );
                tag.is_sequence_header().into()
            }
            "is_keyframe_for_index" | "key" => tag.is_keyframe(4).into(),
            "width" => size().width.into(),
            "height" => size().height.into(),
            "version" => h263_header(first()).version.into(),
            "picture_type" => h263_header(first()).picture_type.into(),
            "block_w" => screen_header(first()).block.width.into(),
            "block_h" => screen_header(first()).block.height.into(),
            "seq_profile" => av1::ConfigurationRecord::parse(first().body)
                .map(|record| record.profile)
                .into(),
            "profile" => vp9().profile.into(),
            "level" => vp9().level.into(),
            "bit_depth" => vp9().bit_depth.into(),
            "fullbox" => (first().body.len() == 12).into(),
            "amf0" => {
                assert_eq!(expected[0], "colorInfo");
                assert!(first().body.starts_with(b"\x02\0\x09colorInfo\x03"));
                assert!(!tag.carries_media() && !tag.is_sequence_header());
                continue;
            }
            "how" => continue, // prose
            other => panic!("{name} expects {other}, which is not checked"),
        };
        assert_eq!(actual, *expected, "{field} of {name}");
    }
}

fn check_audio(vector: &Vector, tag: &AudioTag<'_>) {
    let name = &vector.name;
    let tracks: Vec<AudioTrack<'_>> = tag
        .tracks()
        .map(|track| track.unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    let track = tracks
        .first()
        .unwrap_or_else(|| panic!("{name} has no track"));
    let flags = || tag.flags.unwrap_or_else(|| panic!("{name} has no flags"));
    let head = || opus::Head::parse(track.body).expect("an OpusHead");
    let layout = || track.channel_layout().expect("a channel layout");
    for (field, expected) in &vector.expected {
        let actual: Value = match field.as_str() {
            "ex" => tag.flags.is_none().into(),
            "format" => tag.codec().map(AudioCodec::id).into(),
            "packet" => tag.packet.to_string().into(),
            "nano" => tag.nano_offset_ns.into(),
            "multitrack" => tag.multitrack().map(|kind| kind.0).into(),
            "tracks" => {
                let expected = expected.as_array().expect("tracks");
                assert_eq!(tracks.len(), expected.len(), "{name}");
                for (track, expected) in tracks.iter().zip(expected) {
                    check_track(name, track.id, track.codec.id(), track.body, expected);
                }
                continue;
            }
            "body" => encode_hex(track.body).into(),
            "is_config" => tag.is_sequence_header().into(),
            "rate" if tag.flags.is_some() => {
                let index = [5_512, 11_025, 22_050, 44_100]
                    .iter()
                    .position(|rate| *rate == flags().rate_hz());
                index.into()
            }
            "size" => (flags().sample_bits() / 8 - 1).into(),
            "type" => (flags().channels() - 1).into(),
            "rate" => format(track).rate_hz.into(),
            "channel_config" | "audio_specific_config" => {
                check_specific_config(name, track.body, expected);
                continue;
            }
            "mp3" => {
                let header = mp3::FrameHeader::parse(track.body).expect("a frame header");
                assert_eq!(expected["rate"], header.rate_hz);
                assert_eq!(expected["channels"], header.channels);
                assert_eq!(expected["layer"], header.layer);
                assert_eq!(format(track), header.format());
                continue;
            }
            "channels" if tag.packet == AudioPacket::MULTICHANNEL_CONFIG => {
                layout().channels.into()
            }
            "channels" => format(track).channels.into(),
            "preskip" => head().pre_skip.into(),
            "input_rate" => head().input_rate_hz.into(),
            "bits" => flac::StreamInfo::parse(track.body)
                .map(|info| info.sample_bits)
                .into(),
            "order" => track.body[0].into(),
            "mask" => match layout().order {
                ChannelOrder::Native(mask) => mask.into(),
                other => panic!("{name} has {other:?}"),
            },
            "mapping" => match layout().order {
                ChannelOrder::Custom(mapping) => mapping.into(),
                other => panic!("{name} has {other:?}"),
            },
            other => panic!("{name} expects {other}, which is not checked"),
        };
        assert_eq!(actual, *expected, "{field} of {name}");
    }
}

fn check_track(name: &str, id: u8, codec: u32, body: &[u8], expected: &Value) {
    assert_eq!(expected["track"], id, "{name}");
    let four_cc: [u8; 4] = expected["fourcc"]
        .as_str()
        .expect("a name")
        .as_bytes()
        .try_into()
        .expect("four bytes");
    assert_eq!(codec, FourCc(four_cc).to_u32(), "{name}");
    match expected["body"].as_str() {
        Some(text) => assert_eq!(encode_hex(body), text, "{name}"),
        None => assert_eq!(expected["body"]["len"], body.len(), "{name}"),
    }
}

fn check_specific_config(name: &str, record: &[u8], expected: &Value) {
    let config = aac::AudioSpecificConfig::parse(record).expect("an AudioSpecificConfig");
    if expected.is_number() {
        assert_eq!(*expected, config.channel_configuration, "{name}");
        return;
    }
    for (field, expected) in expected.as_object().expect("fields") {
        let actual: Value = match field.as_str() {
            "aot" => config.object_type.into(),
            "rate" => config.rate_hz.into(),
            "channel_config" => config.channel_configuration.into(),
            "ext_rate" => config.extension.map(|extension| extension.rate_hz).into(),
            "core_aot" => config
                .extension
                .map(|extension| extension.object_type)
                .into(),
            other => panic!("{name} expects {other}, which is not checked"),
        };
        assert_eq!(actual, *expected, "{field} of {name}");
    }
}

fn format(track: &AudioTrack<'_>) -> AudioFormat {
    track.format().expect("rate and channels")
}

fn h263_header(track: &VideoTrack<'_>) -> h263::PictureHeader {
    h263::PictureHeader::parse(track.body).expect("a picture header")
}

fn screen_header(track: &VideoTrack<'_>) -> screen::Header {
    screen::Header::parse(track.body).expect("a frame header")
}

fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A cut body must give the same header, size and rate as the complete one or none, and each track must be a
/// prefix of the complete one.
#[test]
fn vectors_cut_at_every_byte() {
    for vector in vectors(|_| true) {
        for length in 0..vector.input.len() {
            if vector.is_video {
                check_cut_video(&vector, length);
            } else {
                check_cut_audio(&vector, length);
            }
        }
    }
}

fn check_cut_video(vector: &Vector, length: usize) {
    let at = format!("{} cut at {length}", vector.name);
    let Ok(cut) = VideoTag::parse(&vector.input[..length]) else {
        return;
    };
    let complete = VideoTag::parse(&vector.input).expect("the complete body has a header");
    let header = |tag: &VideoTag<'_>| (tag.packet, tag.nano_offset_ns, tag.command);
    assert_eq!(header(&cut), header(&complete), "{at}");
    assert!(cut.tracks().count() <= complete.tracks().count(), "{at}");
    for (cut, complete) in cut.tracks().flatten().zip(complete.tracks().flatten()) {
        let header = |track: &VideoTrack<'_>| (track.id, track.codec, track.composition_time_ms);
        assert_eq!(header(&cut), header(&complete), "{at}");
        assert!(complete.body.starts_with(cut.body), "{at}");
        assert_none_or_same(cut.picture_size(), complete.picture_size(), &at);
        assert!(!cut.is_keyframe(4) || complete.is_keyframe(4), "{at}");
    }
}

fn check_cut_audio(vector: &Vector, length: usize) {
    let at = format!("{} cut at {length}", vector.name);
    let Ok(cut) = AudioTag::parse(&vector.input[..length]) else {
        return;
    };
    let complete = AudioTag::parse(&vector.input).expect("the complete body has a header");
    let header = |tag: &AudioTag<'_>| (tag.packet, tag.nano_offset_ns);
    assert_eq!(header(&cut), header(&complete), "{at}");
    assert!(cut.tracks().count() <= complete.tracks().count(), "{at}");
    for (cut, complete) in cut.tracks().flatten().zip(complete.tracks().flatten()) {
        assert_eq!((cut.id, cut.codec), (complete.id, complete.codec), "{at}");
        assert!(complete.body.starts_with(cut.body), "{at}");
        assert_none_or_same(cut.format(), complete.format(), &at);
        assert_none_or_same(cut.channel_layout(), complete.channel_layout(), &at);
    }
}

fn assert_none_or_same<T: PartialEq + Debug>(cut: Option<T>, complete: Option<T>, at: &str) {
    assert!(cut.is_none() || cut == complete, "{at}: {cut:?}");
}

#[test]
fn frame_type_0_is_resolved_by_the_content() {
    for (body, is_key) in [
        ("8161766331000000000000026588", true),
        ("8161766331000000000000024188", false),
        ("8376767663310000000239", false),
        ("83767663310000000300390100", true),
        ("8376703039824983420014100b5608", true),
        ("837670303986", false),
        ("8176703038d001009d012a4201b600", true),
        ("8176703038d101009d012a4201b600", false),
        ("836176303112000a0d200000043d06d4daf92021a00432021000", true),
        ("8361763031120032021000", false),
        ("0200008400802000", false),
        ("020000840080a1005b0000", true),
        ("04ea00460b150b15", true),
        ("04ea80460b150b15", false),
        ("05ea00000000460b150b15", true),
        ("07010000000000000265b8", true),
        ("0c01000000000000022601", true),
        ("03314230b6", false),
        ("817878787800000002658800", false),
    ] {
        let bytes = hex(body);
        let tag = VideoTag::parse(&bytes).expect("a header");
        assert_eq!(tag.is_keyframe(4), is_key, "{body}");
    }
}

#[test]
fn frame_types_other_than_0_are_trusted() {
    for (body, is_key) in [
        ("1701000000000000024100", true),
        ("2701000000000000026500", false),
        ("4701000000000000024100", true),
        ("3701000000000000026500", false),
        ("1701000000", false),
        ("17000000000164", false),
        ("120000840080", true),
        ("9168766331000000", false),
        ("92687663310000", false),
    ] {
        let bytes = hex(body);
        let tag = VideoTag::parse(&bytes).expect("a header");
        assert_eq!(tag.is_keyframe(4), is_key, "{body}");
    }
}

#[test]
fn nal_length_size_is_that_of_the_sequence_header() {
    let sequence_header = hex("17000000000164000dfde000");
    let sequence_header = VideoTag::parse(&sequence_header).expect("a header");
    let size = sequence_header
        .tracks()
        .flatten()
        .find_map(|track| track.nal_length_size());
    assert_eq!(size, Some(2));
    let frame = hex("0701000000000265b8");
    let frame = VideoTag::parse(&frame).expect("a header");
    assert!(frame.is_keyframe(2));
    assert!(!frame.is_keyframe(4));
    assert_eq!(
        frame
            .tracks()
            .flatten()
            .find_map(|track| track.nal_length_size()),
        None
    );
}

#[test]
fn only_the_main_track_makes_a_keyframe() {
    let second = hex("96016176633101000000000000026588");
    let second = VideoTag::parse(&second).expect("a header");
    assert!(!second.is_keyframe(4));
    assert!(second.carries_media());
    assert!(second.tracks().flatten().all(|track| track.is_keyframe(4)));
}

#[test]
fn sequence_headers_and_media_are_distinguished() {
    for (body, is_sequence_header, carries_media) in [
        ("17000000000164000d", true, false),
        ("27000000000164000d", true, false),
        ("1700000000", false, false),
        ("1701000000", false, false),
        ("1702000000", false, false),
        ("270100000000000001", false, true),
        ("5700", false, false),
        ("12", false, false),
        ("1200", false, true),
        ("1dff", false, true),
        ("9061763031", false, false),
        ("956176303180", true, false),
        ("946176633102", false, false),
        ("98617663310102", false, true),
        ("d001", false, false),
        (
            "961168766331000000060000000226010200000700000003260102",
            false,
            true,
        ),
    ] {
        let bytes = hex(body);
        let tag = VideoTag::parse(&bytes).expect("a header");
        assert_eq!(tag.is_sequence_header(), is_sequence_header, "{body}");
        assert_eq!(tag.carries_media(), carries_media, "{body}");
    }
    for (body, is_sequence_header, carries_media) in [
        ("af001210", true, false),
        ("af00", false, false),
        ("af0121", false, true),
        ("af01", false, false),
        ("2f", false, false),
        ("2fff", false, true),
        ("cfff", false, true),
        ("904f707573", false, false),
        ("944f7075730002", false, false),
        ("924f707573", false, false),
        ("984f70757300", false, true),
    ] {
        let bytes = hex(body);
        let tag = AudioTag::parse(&bytes).expect("a header");
        assert_eq!(tag.is_sequence_header(), is_sequence_header, "{body}");
        assert_eq!(tag.carries_media(), carries_media, "{body}");
    }
}

#[test]
fn format_without_sequence_header() {
    for (body, rate_hz, channels) in [
        ("0f00", 44_100, 2),
        ("1600", 11_025, 1),
        ("3b00", 22_050, 2),
        ("4000", 16_000, 1),
        ("5000", 8_000, 1),
        ("6a00", 22_050, 1),
        ("7200", 8_000, 1),
        ("8300", 8_000, 2),
        ("b600", 16_000, 1),
        ("eefff350c4", 22_050, 1),
        ("912e6d7033fffb5004", 44_100, 2),
        ("9165632d330b7703ce7f87", 44_100, 6),
    ] {
        let body = hex(body);
        let tag = AudioTag::parse(&body).expect("a header");
        let format = tag.tracks().flatten().find_map(|track| track.format());
        assert_eq!(
            format,
            Some(AudioFormat { rate_hz, channels }),
            "{}",
            encode_hex(&body)
        );
    }
}

#[test]
fn channel_layouts() {
    let layout = |body: &str| {
        let body = hex(body);
        let tag = AudioTag::parse(&body).expect("a header");
        let track = tag
            .tracks()
            .next()
            .expect("a track")
            .expect("a complete track");
        track
            .channel_layout()
            .map(|ChannelLayout { channels, order }| (channels, format!("{order:?}")))
    };
    assert_eq!(
        layout("944f7075730002"),
        Some((2, "Unspecified".to_owned()))
    );
    assert_eq!(layout("944f7075730905"), Some((5, "Other(9)".to_owned())));
    assert_eq!(layout("944f707573020300"), None);
    assert_eq!(layout("914f7075730002"), None);
}

#[test]
fn unknown_codes_are_kept_and_printed() {
    let body = hex("f9786d656700");
    let tag = VideoTag::parse(&body).expect("a header");
    assert_eq!(tag.frame.to_string(), "7");
    assert_eq!(tag.packet.to_string(), "9");
    assert_eq!(format!("{:?}", tag.packet), "VideoPacket(9)");
    let codec = tag.codec().expect("a codec");
    assert_eq!(codec.to_string(), "video codec xmeg");
    assert_eq!(codec.id(), 0x786D_6567);
    assert_eq!(VideoCodec::Legacy(13).to_string(), "video codec 13");
    assert_eq!(AudioCodec::Legacy(12).to_string(), "audio codec 12");
    assert_eq!(AudioCodec::MP3.id(), 2);
}

#[test]
fn unknown_multitrack_type_is_kept_and_not_parsed() {
    let body = hex("9631617663310000000000");
    let tag = VideoTag::parse(&body).expect("a header");
    assert_eq!(tag.multitrack(), Some(Multitrack(3)));
    let tracks: Vec<_> = tag.tracks().collect();
    assert_eq!(tracks, [Err(Error::UnknownMultitrack(3))]);
    assert!(!tag.carries_media());
}

#[test]
fn damaged_track_ends_the_tag_and_keeps_earlier_tracks() {
    let body = hex("961368766331000000060000000226010200000900000003260102");
    let tag = VideoTag::parse(&body).expect("a header");
    let tracks: Vec<_> = tag.tracks().collect();
    assert_eq!(tracks.len(), 2);
    assert!(tracks[0].is_ok());
    assert_eq!(tracks[1], Err(Error::Missing(Missing("track body"))));
}

#[test]
fn mod_ex_packets_and_tracks_are_limited() {
    let mut chain = vec![0x97];
    chain.extend([0, 0, 0x07].repeat(1000));
    assert_eq!(VideoTag::parse(&chain).err(), Some(Error::TooManyModEx));
    assert_eq!(AudioTag::parse(&chain).err(), Some(Error::TooManyModEx));
    assert_eq!(
        Error::TooManyModEx.to_string(),
        "more than 16 ModEx packets in a row"
    );

    let mut many = hex("961168766331");
    many.extend([0; 4].repeat(1000));
    assert_eq!(
        VideoTag::parse(&many).expect("a header").tracks().count(),
        256
    );
}

#[test]
fn nano_offset_is_read_from_longer_data() {
    let body = hex("970407a120ffff0368766331000000022601");
    assert_eq!(
        VideoTag::parse(&body).expect("a header").nano_offset_ns,
        500_000
    );
    let body = hex("970107a10368766331000000022601");
    assert_eq!(VideoTag::parse(&body).expect("a header").nano_offset_ns, 0);
}

/// Generates bodies with a valid header and arbitrary data, which get further than random bytes.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let heads: Vec<Vec<u8>> = vectors(|_| true)
        .into_iter()
        .map(|vector| vector.input)
        .collect();
    let random = proptest::collection::vec(any::<u8>(), 0..64);
    let changed = (
        proptest::sample::select(heads),
        any::<proptest::sample::Index>(),
        any::<u8>(),
        0..64_usize,
        random.clone(),
    )
        .prop_map(|(mut body, at, byte, keep, tail)| {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(keep.max(body.len().saturating_sub(keep)));
            body.extend(tail);
            body
        });
    prop_oneof![random, changed]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Tracks of arbitrary bodies are part of the body, and no function panics.
    #[test]
    fn arbitrary_bodies_do_not_panic(body in bodies(), nal_length_size: u8) {
        if let Ok(tag) = VideoTag::parse(&body) {
            tag.is_keyframe(nal_length_size);
            prop_assert!(tag.command.is_none() || tag.tracks().next().is_none());
            for track in tag.tracks().flatten() {
                prop_assert!(!(track.is_sequence_header() && track.carries_media()));
                prop_assert!(track.body.len() < body.len());
                prop_assert!(track.picture_size().is_none_or(|size| size.width > 0 && size.height > 0));
                prop_assert!(track.nal_length_size().is_none_or(|size| (1..=4).contains(&size)));
                prop_assert!((-0x80_0000..0x80_0000).contains(&track.composition_time_ms));
            }
        }
        if let Ok(tag) = AudioTag::parse(&body) {
            for track in tag.tracks().flatten() {
                prop_assert!(!(track.is_sequence_header() && track.carries_media()));
                prop_assert!(track.body.len() < body.len());
                track.format();
                track.channel_layout();
            }
        }
    }

    /// The same for records and frames of each codec, without a tag.
    #[test]
    fn arbitrary_records_do_not_panic(body in bodies(), start in any::<proptest::sample::Index>()) {
        let record = &body[start.index(body.len() + 1)..];
        for codec in [
            VideoCodec::H263, VideoCodec::SCREEN, VideoCodec::VP6, VideoCodec::VP6_ALPHA,
            VideoCodec::AVC, VideoCodec::HEVC, VideoCodec::VVC1, VideoCodec::AV01,
            VideoCodec::VP08, VideoCodec::VP09,
        ] {
            for packet in [VideoPacket::SEQUENCE_START, VideoPacket::CODED_FRAMES] {
                let track = VideoTrack {
                    id: 0, codec, frame: FrameType::UNSPECIFIED, packet, composition_time_ms: 0, body: record,
                };
                track.picture_size();
                prop_assert!(!(track.is_keyframe(4) && packet == VideoPacket::SEQUENCE_START));
            }
        }
        for codec in [
            AudioCodec::AAC, AudioCodec::OPUS, AudioCodec::FLAC, AudioCodec::MP3, AudioCodec::AC_3,
        ] {
            for packet in [AudioPacket::SEQUENCE_START, AudioPacket::CODED_FRAMES] {
                AudioTrack { id: 0, codec, packet, flags: None, body: record }.format();
            }
        }
        prop_assert!(ac3::EnhancedFrame::all(record).count() <= 96);
        vvc::has_all_fields(record);
    }
}
