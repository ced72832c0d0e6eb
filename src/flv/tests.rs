use super::*;

#[test]
fn the_file_header_has_nine_bytes() {
    #[rustfmt::skip]
    let bytes = [
        0x46, 0x4C, 0x56,       // "FLV"
        1,                      // version
        0b101,                  // audio and video
        0, 0, 0, 9,             // data offset
    ];
    let header = FileHeader::new(true, true);
    assert_eq!(FileHeader::read(&mut Cursor::new(&bytes)), Ok(header));
    assert_eq!(header.to_bytes(), bytes);
    for cut in 0..bytes.len() {
        let error = FileHeader::read(&mut Cursor::new(&bytes[..cut]));
        assert_eq!(error, Err(Missing("file header").into()));
    }
    assert_eq!(FileHeader::new(true, false).to_bytes()[4], 0b100);
    assert_eq!(FileHeader::new(false, true).to_bytes()[4], 0b001);
}

#[test]
fn another_file_is_none() {
    let error = FileHeader::read(&mut Cursor::new(b"\0\0\0\x20ftypisom")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no FLV file: it starts with [00, 00, 00]"
    );
    let error = FileHeader::read(&mut Cursor::new(b"FLV\x01\x05\0\0\0\x08")).unwrap_err();
    assert_eq!(error, Error::DataOffset(8));
}

#[test]
fn the_tag_header_has_eleven_bytes() {
    #[rustfmt::skip]
    let bytes = [
        0x29,                   // video, filtered
        0x01, 0x02, 0x03,       // length
        0x06, 0x07, 0x08, 0x05, // timestamp: low 24 bits, high 8
        0, 0, 0,                // stream id
    ];
    let header = TagHeader {
        kind: TagKind::VIDEO,
        is_filtered: true,
        length: U24::truncate(0x01_0203),
        timestamp_ms: 0x0506_0708,
    };
    assert_eq!(TagHeader::read(&mut Cursor::new(&bytes)), Ok(header));
    assert_eq!(header.to_bytes(), bytes);
    assert_eq!(header.previous_tag_size(), 0x01_020E);
    for cut in 0..bytes.len() {
        let error = TagHeader::read(&mut Cursor::new(&bytes[..cut]));
        assert_eq!(error, Err(Missing("tag header")));
    }
}

#[test]
fn a_tag_is_framed_in_place() {
    let mut payload = Payload::from(&b"\x17\x01"[..]);
    payload.extend_from_slice(b"rest");
    #[rustfmt::skip]
    let bytes = [
        9,                      // video
        0, 0, 6,                // length
        0, 0, 40, 0,            // timestamp
        0, 0, 0,                // stream id
        0x17, 0x01, b'r', b'e', b's', b't',
        0, 0, 0, 17,            // back pointer
    ];
    let tag = Tag::new(TagKind::VIDEO, 40, payload);
    assert_eq!(tag.as_bytes(), bytes);
    assert!(tag.into_payload().is_empty());
}

#[test]
fn what_exceeds_a_tag_is_cut() {
    let most = U24::MAX.get() as usize;
    let tag = Tag::new(
        TagKind::AUDIO,
        u32::MAX,
        Payload::from(&vec![7; most + 2][..]),
    );
    let mut cursor = Cursor::new(tag.as_bytes());
    let header = TagHeader::read(&mut cursor).unwrap();
    assert_eq!(header.length, U24::MAX);
    assert_eq!(header.timestamp_ms, i32::MAX);
    assert!(cursor.take(most, "body").unwrap().iter().all(|b| *b == 7));
    assert_eq!(cursor.u32("back pointer"), Ok(11 + U24::MAX.get()));
    assert!(cursor.is_empty());
}

#[test]
fn kinds_are_kept_and_printed() {
    assert_eq!(TagKind::SCRIPT.to_string(), "script");
    assert_eq!(TagKind(3).to_string(), "kind 3");
    assert_eq!(format!("{:?}", TagKind::AUDIO), "TagKind(8: audio)");
}
