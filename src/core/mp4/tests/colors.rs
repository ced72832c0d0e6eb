//! Descriptions of the colors in the setup of a file.

use super::*;
use crate::core::mp4::color::tests::{HDR_BOXES, color_info, hdr};

const VIDEO: TagKind = TagKind::VIDEO;

/// An enhanced video message with metadata: frame type 5, packet type 4.
fn metadata(info: &[u8]) -> Vec<u8> {
    [&[0xD4][..], b"avc1", info].concat()
}

/// colorInfo that is nothing but a colr box in the file.
fn bt709() -> Vec<u8> {
    color_info(&[(
        "colorConfig",
        &[
            ("colorPrimaries", 1.0),
            ("transferCharacteristics", 1.0),
            ("matrixCoefficients", 1.0),
        ],
    )])
}

fn frame(number: u64) -> (u64, Vec<u8>) {
    let key = if number.is_multiple_of(10) {
        0x17
    } else {
        0x27
    };
    (number * 40, vec![key, 1, 0, 0, 0, number as u8])
}

/// Adds one second of frames.
fn send_frames(file: &mut File, second: u64) {
    for number in 25 * second..25 * (second + 1) {
        let (time_ms, body) = frame(number);
        file.send(VIDEO, time_ms, &body).unwrap();
    }
}

/// Returns the boxes after each avcC box in the file.
fn boxes_after_avcc(file: &[u8]) -> Vec<Vec<u8>> {
    let box_at = |at: usize| {
        let length: [u8; 4] = file[at..at + 4].try_into().unwrap();
        at + u32::from_be_bytes(length) as usize
    };
    let starts = file.windows(4).enumerate();
    let avc1 = starts.filter(|(_, window)| window == b"avc1");
    // The length of the box and the fields of a visual sample entry surround the type.
    let entries = avc1.filter(|(at, _)| file.get(at + 86..at + 90) == Some(b"avcC"));
    let boxes = entries.map(|(at, _)| file[box_at(at + 82)..box_at(at - 4)].to_vec());
    boxes.collect()
}

#[test]
fn color_info_before_or_after_the_sequence_header_is_in_both_setups() {
    for is_first in [true, false] {
        let mut file = File::new(options(Layout::Seekable, 500));
        let mut messages = [avc_header(), metadata(&hdr())];
        if is_first {
            messages.reverse();
        }
        for message in messages {
            file.send(VIDEO, 0, &message).unwrap();
        }
        send_frames(&mut file, 0);
        let file = file.finish();
        assert_eq!(boxes_after_avcc(&file), [HDR_BOXES, HDR_BOXES]);
        assert_eq!(demux(&file).len(), 25, "the message is not a frame");
    }
}

#[test]
fn file_with_colr_decodes_strictly() {
    for layout in [Layout::Seekable, Layout::Plain] {
        let mut file = File::new(options(layout, 500));
        file.send(VIDEO, 0, &avc_header()).unwrap();
        file.send(VIDEO, 0, &metadata(&bt709())).unwrap();
        send_frames(&mut file, 0);
        let file = file.finish();
        assert_strict(&file);
        let at = file.windows(4).rposition(|window| window == b"moov");
        let moov = mp4_atom::Moov::decode(&mut &file[at.unwrap() - 4..]).unwrap();
        let codec = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0];
        let mp4_atom::Codec::Avc1(entry) = codec else {
            panic!("{codec:?}");
        };
        let expected = mp4_atom::Colr::Nclx {
            colour_primaries: 1,
            transfer_characteristics: 1,
            matrix_coefficients: 1,
            full_range_flag: false,
        };
        assert_eq!(entry.colr, Some(expected));
    }
}

#[test]
fn color_info_after_the_first_frame_is_in_the_setup_until_it_is_written() {
    let record = |at: usize, info: &[u8]| {
        let mut file = File::new(options(Layout::Seekable, 500));
        file.send(VIDEO, 0, &avc_header()).unwrap();
        for number in 0..75 {
            let (time_ms, body) = frame(number);
            if number == at as u64 {
                file.send(VIDEO, time_ms, &metadata(info)).unwrap();
            }
            file.send(VIDEO, time_ms, &body).unwrap();
        }
        file.finish()
    };
    assert_eq!(boxes_after_avcc(&record(1, &hdr()))[1], HDR_BOXES);
    let late = record(70, &hdr());
    assert_eq!(boxes_after_avcc(&late), [Vec::<u8>::new(), Vec::new()]);
    assert_eq!(late, record(1, b"\x02\0\x09colorInfo\x06"));
    assert_eq!(late, record(1, b"\x02\0\x09colorInf"));
}

#[test]
fn first_description_with_frames_stays() {
    let mut file = File::new(options(Layout::Seekable, 500));
    for message in [avc_header(), metadata(&bt709()), metadata(&hdr())] {
        file.send(VIDEO, 0, &message).unwrap();
    }
    file.send(VIDEO, 0, &frame(0).1).unwrap();
    file.send(VIDEO, 1, &metadata(&bt709())).unwrap();
    for second in 1..4 {
        send_frames(&mut file, second);
        for info in [bt709(), hdr(), b"\x02\0\x09colorInfo\x06".to_vec()] {
            let body = metadata(&info);
            let info = FrameParser::new().parse(VIDEO, &body);
            assert!(!file.writer.needs_new_setup(info, &body));
            file.send(VIDEO, second * 1000, &body).unwrap();
        }
    }
    assert_eq!(boxes_after_avcc(&file.finish()), [HDR_BOXES, HDR_BOXES]);
}

#[test]
fn each_track_has_its_description() {
    let mut file = File::new(options(Layout::Seekable, 500));
    // Multitrack, one track with id 1.
    let other = |packet: u8, body: &[u8]| [&[0x96, packet][..], b"avc1", &[1], body].concat();
    file.send(VIDEO, 0, &avc_header()).unwrap();
    file.send(VIDEO, 0, &other(0, AVC_RECORD)).unwrap();
    file.send(VIDEO, 0, &other(4, &hdr())).unwrap();
    for number in 0..25 {
        let (time_ms, body) = frame(number);
        file.send(VIDEO, time_ms, &body).unwrap();
        file.send(VIDEO, time_ms, &other(3, &[number as u8]))
            .unwrap();
    }
    let boxes = boxes_after_avcc(&file.finish());
    assert_eq!(boxes, [&[][..], HDR_BOXES, &[], HDR_BOXES]);
}

#[test]
fn restarted_setup_has_the_latest_description() {
    let mut file = File::new(options(Layout::Plain, 500));
    file.send(VIDEO, 0, &avc_header()).unwrap();
    file.send(VIDEO, 0, &metadata(&bt709())).unwrap();
    send_frames(&mut file, 0);
    let mut fragments = Vec::new();
    file.writer.restart_setup(&mut fragments);
    file.send(VIDEO, 1000, &metadata(&hdr())).unwrap();
    send_frames(&mut file, 1);
    let boxes = boxes_after_avcc(&file.finish());
    assert_eq!(boxes.len(), 2);
    assert_eq!(boxes[0][..8], *b"\0\0\0\x13colr");
    assert_eq!(boxes[1], HDR_BOXES);
}

#[test]
fn reopened_file_keeps_its_description() {
    let mut file = File::new(options(Layout::Seekable, 500));
    file.send(VIDEO, 0, &avc_header()).unwrap();
    file.send(VIDEO, 0, &metadata(&hdr())).unwrap();
    send_frames(&mut file, 0);
    let bytes = file.finish();
    let reader::ReadStart::Own(mut start) = reader::read_start(&bytes, 500) else {
        panic!("not an own file");
    };
    loop {
        let rest = &bytes[start.writer.length() as usize..];
        let ReadFragment::Complete(runs, length) = read_fragment(rest) else {
            break;
        };
        assert!(start.writer.add_existing(&runs, length));
        if start.sealed_end == Some(start.writer.length()) {
            break;
        }
    }
    let mut file = File::reopen(start.writer, bytes);
    let info = FrameParser::new().parse(VIDEO, &avc_header());
    assert!(!file.writer.needs_new_setup(info, &avc_header()));
    file.send(VIDEO, 1000, &avc_header()).unwrap();
    file.send(VIDEO, 1000, &metadata(&bt709())).unwrap();
    send_frames(&mut file, 1);
    assert_eq!(boxes_after_avcc(&file.finish()), [HDR_BOXES, HDR_BOXES]);
}
