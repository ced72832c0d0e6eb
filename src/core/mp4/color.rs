//! Boxes that describe the colors of a video track, from the "colorInfo" of E-RTMP.

use bytes::Bytes;

use super::boxes::{self, BoxHeader};
use crate::core::{
    amf::{Value, amf0},
    wire::Reader,
};

/// Returns the boxes for the body of a video message with metadata (E-RTMP "VideoPacketType.Metadata"). They are
/// empty if the message resets the description. Returns `None` if the message has no "colorInfo".
///
/// Values that are missing or out of range are written as unknown ones.
pub(super) fn boxes(metadata: &[u8]) -> Option<Vec<u8>> {
    let (values, _error) = amf0::decode_all(Bytes::copy_from_slice(metadata));
    let mut pairs = values.chunks_exact(2).rev();
    let info = pairs.find_map(|pair| match pair {
        [name, value] if name.as_text()? == "colorInfo" => Some(value),
        _ => None,
    })?;
    let is_reset = matches!(info, Value::Undefined | Value::Null);
    if !is_reset && info.as_object().is_none() {
        return None;
    }
    let mut out = Vec::new();
    put_colr(&mut out, info);
    put_mdcv(&mut out, info);
    put_clli(&mut out, info);
    Some(out)
}

/// Appends boxes of [`boxes()`]. The range of the samples is that of the setup, because colorInfo lacks it. If the
/// setup lacks it too, it is the limited one, as usual.
pub(super) fn put(out: &mut Vec<u8>, boxes: &[u8], is_full_range: Option<bool>) {
    let start = out.len();
    out.extend_from_slice(boxes);
    let added = out.get_mut(start..).unwrap_or_default();
    if let Some(is_full) = is_full_range
        && added.get(4..8) == Some(COLR)
        && let Some(flag) = added.get_mut(RANGE_AT)
    {
        *flag = if is_full { FULL_RANGE } else { 0 };
    }
}

/// Splits the boxes after the fields of a visual sample entry into those of the codec and those of this module.
pub(super) fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    let mut boxes = Reader::new(entry);
    while !boxes.is_empty() {
        let at = entry.len().saturating_sub(boxes.len());
        match BoxHeader::read_complete(&mut boxes) {
            Ok((kind, _)) if KINDS.contains(&&kind) => return entry.split_at(at),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    (entry, &[])
}

/// Appends a ColourInformationBox (ISO 14496-12 12.1.5), unless all values are unspecified.
fn put_colr(out: &mut Vec<u8>, info: &Value) {
    let code = |name| {
        let code = number(info, "colorConfig", name).filter(|code| CODES.contains(code));
        code.map_or(UNSPECIFIED, |code| code as u16)
    };
    let codes = [
        "colorPrimaries",
        "transferCharacteristics",
        "matrixCoefficients",
    ]
    .map(code);
    if codes == [UNSPECIFIED; 3] {
        return;
    }
    boxes::put(out, COLR, |out| {
        out.extend(b"nclx");
        out.extend(codes.into_iter().flat_map(u16::to_be_bytes));
        out.push(0); // full_range_flag, see `put`
    });
}

/// Appends a MasteringDisplayColourVolumeBox (ISO 14496-12 12.1.7), unless all values are unknown. Its fields
/// have the units of the message of H.265 D.3.28, in which 0 is out of range and thus unknown.
fn put_mdcv(out: &mut Vec<u8>, info: &Value) {
    let value = |name| number(info, "hdrMdcv", name).unwrap_or(0.0);
    // In units of 0.00002; the primaries in order green, blue, red.
    let chromaticities = [
        "greenX",
        "greenY",
        "blueX",
        "blueY",
        "redX",
        "redY",
        "whitePointX",
        "whitePointY",
    ]
    .map(|name| (value(name) * 50_000.0).round() as u16);
    // In units of 0.0001 candelas per square meter.
    let luminances =
        ["maxLuminance", "minLuminance"].map(|name| (value(name) * 10_000.0).round() as u32);
    if chromaticities == [0; 8] && luminances == [0; 2] {
        return;
    }
    boxes::put(out, MDCV, |out| {
        out.extend(chromaticities.into_iter().flat_map(u16::to_be_bytes));
        out.extend(luminances.into_iter().flat_map(u32::to_be_bytes));
    });
}

/// Appends a ContentLightLevelBox (ISO 14496-12 12.1.6), unless both values are unknown, which is 0.
fn put_clli(out: &mut Vec<u8>, info: &Value) {
    // In candelas per square meter.
    let value = |name| number(info, "hdrCll", name).unwrap_or(0.0).round() as u16;
    let levels = ["maxCLL", "maxFall"].map(value);
    if levels == [0; 2] {
        return;
    }
    boxes::put(out, CLLI, |out| {
        out.extend(levels.into_iter().flat_map(u16::to_be_bytes));
    });
}

/// Returns a number from one of the groups of colorInfo. Casts of it to an integer saturate.
fn number(info: &Value, group: &str, name: &str) -> Option<f64> {
    let number = info.member(group)?.member(name)?.as_number()?;
    Some(number).filter(|number| !number.is_nan())
}

/// Offset of full_range_flag in a ColourInformationBox, and its bit (ISO 14496-12 12.1.5).
const RANGE_AT: usize = 18;
const FULL_RANGE: u8 = 0x80;

const COLR: &[u8; 4] = b"colr";
const MDCV: &[u8; 4] = b"mdcv";
const CLLI: &[u8; 4] = b"clli";
const KINDS: [&[u8; 4]; 3] = [COLR, MDCV, CLLI];

/// Code points of ISO 23091-2 have eight bits.
const CODES: std::ops::RangeInclusive<f64> = 0.0..=255.0;

/// Code point of unspecified colors (ISO 23091-2 8.1 to 8.3).
const UNSPECIFIED: u16 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::amf::Object;

    /// BT.2020 with the PQ transfer function, in a display with P3 primaries.
    pub(in crate::core::mp4) fn hdr() -> Vec<u8> {
        color_info(&[
            (
                "colorConfig",
                &[
                    ("bitDepth", 10.0),
                    ("colorPrimaries", 9.0),
                    ("transferCharacteristics", 16.0),
                    ("matrixCoefficients", 9.0),
                ],
            ),
            ("hdrCll", &[("maxFall", 400.0), ("maxCLL", 1000.0)]),
            (
                "hdrMdcv",
                &[
                    ("redX", 0.68),
                    ("redY", 0.32),
                    ("greenX", 0.265),
                    ("greenY", 0.69),
                    ("blueX", 0.15),
                    ("blueY", 0.06),
                    ("whitePointX", 0.3127),
                    ("whitePointY", 0.329),
                    ("maxLuminance", 1000.0),
                    ("minLuminance", 0.0001),
                ],
            ),
        ])
    }

    /// Body of a message with "colorInfo" and these groups.
    pub(in crate::core::mp4) fn color_info(groups: &[(&str, &[(&str, f64)])]) -> Vec<u8> {
        let group = |members: &[(&str, f64)]| members.iter().copied().collect::<Object>();
        let groups = groups.iter().map(|(name, members)| (*name, group(members)));
        encode(groups.collect::<Object>().into())
    }

    fn encode(info: Value) -> Vec<u8> {
        let mut out = Vec::new();
        amf0::encode(&Value::from("colorInfo"), &mut out);
        amf0::encode(&info, &mut out);
        out
    }

    #[rustfmt::skip]
    pub(in crate::core::mp4) const HDR_BOXES: &[u8] = &[
        0, 0, 0, 19, b'c', b'o', b'l', b'r', b'n', b'c', b'l', b'x',
        0, 9, 0, 16, 0, 9, // primaries, transfer function, matrix
        0, // limited range
        0, 0, 0, 32, b'm', b'd', b'c', b'v',
        0x33, 0xC2, 0x86, 0xC4, // green
        0x1D, 0x4C, 0x0B, 0xB8, // blue
        0x84, 0xD0, 0x3E, 0x80, // red
        0x3D, 0x13, 0x40, 0x42, // white
        0x00, 0x98, 0x96, 0x80, 0, 0, 0, 1, // luminances
        0, 0, 0, 12, b'c', b'l', b'l', b'i', 3, 0xE8, 1, 0x90,
    ];

    #[test]
    fn color_info_becomes_three_boxes() {
        let message = hdr();
        assert_eq!(boxes(&message).as_deref(), Some(HDR_BOXES));
        for cut in 0..message.len() {
            assert_eq!(boxes(&message[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn message_in_literal_bytes() {
        let message = [
            &b"\x02\0\x09colorInfo\x03"[..],
            b"\0\x0BcolorConfig\x03",
            b"\0\x0EcolorPrimaries\0\x3F\xF0\0\0\0\0\0\0", // 1.0
            b"\0\0\x09\0\0\x09",
        ]
        .concat();
        let expected = b"\0\0\0\x13colrnclx\0\x01\0\x02\0\x02\0";
        assert_eq!(boxes(&message).as_deref(), Some(&expected[..]));
        for cut in 0..message.len() {
            assert_eq!(boxes(&message[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn empty_object_and_undefined_reset_the_description() {
        let empty = Value::Object(Object::new());
        for reset in [Value::Undefined, Value::Null, empty] {
            assert_eq!(boxes(&encode(reset)), Some(Vec::new()));
        }
        assert_eq!(boxes(&encode(Value::Boolean(true))), None);
        assert_eq!(boxes(&[]), None);
        let other: Value = "colorInfo".into();
        let mut message = Vec::new();
        amf0::encode(&Value::from("other"), &mut message);
        amf0::encode(&other, &mut message);
        assert_eq!(boxes(&message), None);
    }

    #[test]
    fn last_color_info_after_other_names_counts() {
        let dark = color_info(&[("hdrCll", &[("maxCLL", 1.0)])]);
        let mut message = Vec::new();
        amf0::encode(&Value::from("other"), &mut message);
        amf0::encode(&Value::Number(1.0), &mut message);
        message.extend(hdr());
        message.extend(&dark);
        assert_eq!(boxes(&message), boxes(&dark));
    }

    #[test]
    fn values_out_of_range_are_unknown_or_saturate() {
        let colr = |code| {
            let boxes = boxes(&color_info(&[(
                "colorConfig",
                &[("colorPrimaries", 1.0), ("matrixCoefficients", code)],
            )]));
            boxes.expect("colorInfo")[12..].to_vec()
        };
        for code in [f64::NAN, -1.0, 256.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(colr(code), [0, 1, 0, 2, 0, 2, 0], "{code}");
        }
        assert_eq!(colr(255.0), [0, 1, 0, 2, 0, 255, 0]);
        let unknown = color_info(&[
            ("colorConfig", &[("colorPrimaries", 2.0)]),
            ("hdrCll", &[("maxCLL", f64::NAN), ("maxFall", -5.0)]),
            ("hdrMdcv", &[("redX", f64::NAN), ("minLuminance", -1.0)]),
        ]);
        assert_eq!(boxes(&unknown), Some(Vec::new()));
        let large = color_info(&[
            ("hdrCll", &[("maxCLL", f64::INFINITY), ("maxFall", 1e9)]),
            ("hdrMdcv", &[("greenX", 7.0), ("maxLuminance", 1e300)]),
        ]);
        let large = boxes(&large).expect("colorInfo");
        assert_eq!(large[8..12], [0xFF, 0xFF, 0, 0]);
        assert_eq!(large[24..32], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
        assert_eq!(large[40..], [0xFF, 0xFF, 0xFF, 0xFF]);
    }

    #[test]
    fn range_is_that_of_the_setup() {
        let encode = |is_full_range| {
            let mut out = b"avcC".to_vec();
            put(&mut out, HDR_BOXES, is_full_range);
            out[4..].to_vec()
        };
        assert_eq!(encode(None), HDR_BOXES);
        assert_eq!(encode(Some(false)), HDR_BOXES);
        let mut full = HDR_BOXES.to_vec();
        full[18] = 0x80;
        assert_eq!(encode(Some(true)), full);
        let mut out = Vec::new();
        put(&mut out, &HDR_BOXES[19..], Some(true));
        assert_eq!(out, HDR_BOXES[19..], "without colr");
    }

    #[test]
    fn boxes_of_codec_and_colors_are_split() {
        let record = b"\0\0\0\x09avcC\x01\0\0\0\x08pasp";
        let entry = [&record[..], HDR_BOXES].concat();
        assert_eq!(split(&entry), (&record[..], HDR_BOXES));
        assert_eq!(split(record), (&record[..], &[][..]));
        for cut in 0..entry.len() {
            let (codec, colors) = split(&entry[..cut]);
            assert_eq!([codec, colors].concat(), entry[..cut]);
        }
    }
}
