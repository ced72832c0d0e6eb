use rtmpull::core::amf::Value;

use super::*;
use crate::server::{FaultAction, object};

#[test]
fn impossible_duration_is_ignored() {
    let values = [
        Value::Number(f64::NAN),
        f64::INFINITY.into(),
        f64::NEG_INFINITY.into(),
        (-1.0).into(),
        1e300.into(),
        5e-324.into(),
        "an hour".into(),
        Value::Null,
        object([("duration", 3.0.into())]).into(),
    ];
    for value in values {
        let fields = object([("duration", value.clone()), ("title", "kept".into())]);
        let peer = playing_peer(0, move |peer| {
            send_metadata(peer, fields.clone())?;
            send_tags(peer, &sample_media())?;
            peer.fail(FaultAction::Fin)
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        ended.assert_tags(&sample_media());
        // Without a duration, the stream is not known to be incomplete.
        ended.assert_ended(0, "closed", "the server closed the connection");
        let head = ended.metadata();
        let duration = head.get("duration").and_then(Value::as_number);
        let duration = duration.unwrap_or_default();
        assert!((3.0..3.2).contains(&duration), "{value:?}: {duration} s");
        assert_eq!(head.get("title"), Some(&"kept".into()));
    }
}

#[test]
fn output_clock_survives_wraps_and_jumps() {
    let cases: [(&[u32], &[u32]); 7] = [
        (&[0x7FFF_FFF0, 0x8000_0000, 0x8000_0018], &[0, 16, 40]),
        (&[0xFFFF_FFF0, 0, 40], &[0, 16, 56]),
        (&[0xFFFF_FFFF, 0, 40], &[0, 1, 41]),
        (&[0x00FF_FFFE, 0x00FF_FFFF, 0x0100_0000], &[0, 1, 2]),
        // Restarts and jumps of days: the output continues with the last frame interval.
        (&[1_000_000, 1_000_040, 0, 40], &[0, 40, 80, 120]),
        (&[0, 40, 0x7FFF_FFFF, 0x8000_0027], &[0, 40, 80, 120]),
        (&[0, 40, 0x8000_0028, 0x8000_0050], &[0, 40, 80, 120]),
    ];
    for (sent, expected) in cases {
        assert_output_times(None, sent, expected);
    }
}

#[test]
fn stray_timestamps_do_not_shift_later_frames() {
    let expected: Vec<u32> = (0..20).map(|frame| frame * 40).collect();
    for stray in [0, 9_395_400, 9_460_400, u32::MAX] {
        let mut sent: Vec<u32> = (0..20).map(|frame| 9_400_000 + frame * 40).collect();
        sent[10] = stray;
        assert_output_times(None, &sent, &expected);
    }
}

#[test]
fn jump_after_the_first_frame_is_a_gap_of_a_recorded_stream_only() {
    let sent = [0, 1_000_040, 1_000_080, 1_000_120];
    assert_output_times(None, &sent, &[0, 1, 41, 81]);
    assert_output_times(Some(1_000.16), &sent, &sent);
}

/// A server that corrects timestamps continues with those of a new publisher, without a status.
#[test]
fn republish_without_a_status_moves_no_track_back() {
    let peer = playing_peer(0, |peer| {
        let mut video =
            |at_ms, packet| peer.queue(7, Kind::VIDEO, 1, at_ms, &[0x17, packet, 0, 0, 0, 1]);
        video(90_000, 0)?;
        (0..=50).try_for_each(|frame| video(90_000 + frame * 40, 1))?;
        let mut audio =
            |at_ms, packet| peer.queue(6, Kind::AUDIO, 1, at_ms, &[0xAF, packet, 18, 8]);
        audio(90_000, 0)?;
        (0..=85).try_for_each(|frame| audio(90_000 + frame * 23, 1))?;
        // The last audio frame has the time 91,955, so the new stream starts at 91,965.
        audio(91_965, 0)?;
        peer.queue(7, Kind::VIDEO, 1, 91_965, &[0x17, 0, 0, 0, 0, 2])?;
        for frame in 0..50 {
            let at_ms = 91_965 + frame * 40;
            peer.queue(7, Kind::VIDEO, 1, at_ms, &[0x17, 1, 0, 0, 0, 2])?;
            peer.queue(6, Kind::AUDIO, 1, at_ms + 5, &[0xAF, 1, 18, 8])?;
        }
        peer.flush()?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    ended.assert_ended(0, "closed", "the server closed the connection");
    for (kind, new_ms) in [(8, 2_006), (9, 2_001)] {
        let tags = ended.tags();
        let frames = tags
            .iter()
            .filter(|tag| tag.kind == kind && tag.body[1] == 1);
        let times: Vec<u32> = frames.map(|tag| tag.timestamp_ms).collect();
        assert!(times.is_sorted(), "{kind}: {times:?}");
        // The new stream is shifted by 36 ms in both tracks.
        let expected: Vec<u32> = (0..50).map(|frame| new_ms + frame * 40).collect();
        assert_eq!(times[times.len() - 50..], expected, "{kind}");
    }
}

/// Panics unless keyframes with the timestamps `sent` have the times `expected` in the file. Without
/// a duration, the stream is live.
#[track_caller]
fn assert_output_times(duration: Option<f64>, sent: &[u32], expected: &[u32]) {
    let timestamps = sent.to_vec();
    let peer = playing_peer(0, move |peer| {
        if let Some(seconds) = duration {
            send_metadata(peer, object([("duration", seconds.into())]))?;
        }
        let frame = [0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41];
        for timestamp_ms in &timestamps {
            peer.queue(7, Kind::VIDEO, 1, *timestamp_ms, &frame)?;
        }
        peer.flush()?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    ended.assert_ended(0, "closed", "the server closed the connection");
    let times: Vec<u32> = ended.tags().iter().map(|tag| tag.timestamp_ms).collect();
    assert_eq!(times, expected, "of {sent:x?}");
}

/// Each keyframe of 7 bytes would otherwise become a file with a head of 48 KiB.
#[test]
fn leaping_clock_creates_few_segments() {
    for options in [["--segment-time", "1"], ["--gap", "split"]] {
        let peer = playing_peer(0, |peer| {
            send_metadata(peer, object([("duration", 36_000_000.0.into())]))?;
            for number in 0..5_000_u32 {
                let body = [0x27, 1, 0, 0, 0, (number >> 8) as u8, number as u8];
                let key = [0x17, 1, 0, 0, 0, (number >> 8) as u8, number as u8];
                let body = if number % 2 == 0 { key } else { body };
                // Two frames, then a leap of 50 minutes.
                let at_ms = (number / 2).wrapping_mul(3_000_000) + number % 2 * 40;
                peer.queue(7, Kind::VIDEO, 1, at_ms, &body)?;
            }
            peer.flush()?;
            peer.fail(FaultAction::Fin)
        });
        let ended = Invocation::new(&peer.url("clip"))
            .options(options)
            .into("out-%d.flv")
            .run();
        let folder = ended.output.parent().expect("a folder");
        let files = fs::read_dir(folder).expect("the folder exists");
        let count = files.count();
        assert!(count <= 150, "{options:?}: {count} files");
        ended.assert_safe_output();
    }
}

#[test]
fn empty_messages_neither_start_nor_end_a_file() {
    let empty = |peer: &mut Connection| {
        peer.queue(6, Kind::AUDIO, 1, 0, &[])?;
        peer.queue(7, Kind::VIDEO, 1, 0, &[])?;
        peer.queue(4, Kind::DATA, 1, 0, &[])?;
        peer.queue(3, Kind::COMMAND, 0, 0, &[])?;
        peer.queue(6, Kind::AGGREGATE, 1, 0, &[])?;
        peer.flush()
    };
    let peer = playing_peer(0, move |peer| {
        empty(peer)?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    ended
        .assert_ended(
            1,
            "cut",
            "the server closed the connection before any media",
        )
        .assert_unchanged();
    let peer = playing_peer(0, move |peer| {
        empty(peer)?;
        send_tags(peer, &sample_media()[..10])?;
        empty(peer)?;
        send_tags(peer, &sample_media()[10..])?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    ended.assert_ended(0, "closed", "the server closed the connection");
    let tags = ended.tags();
    let (empty, rest): (Vec<Tag>, Vec<Tag>) = tags.into_iter().partition(|tag| tag.body.is_empty());
    assert!(rest == sample_media(), "all sent tags");
    assert_eq!(empty.len(), 2, "audio and video");
    let first = &sample_media()[..10];
    // Their timestamps lie before the frames, so they take the time of the last tag.
    let last_ms = first.iter().map(|tag| tag.timestamp_ms).max();
    for tag in empty {
        assert_eq!(Some(tag.timestamp_ms), last_ms, "kind {}", tag.kind);
    }
}

#[test]
fn undecodable_bodies_are_kept_unchanged() {
    let bodies: Vec<Vec<u8>> = (0..=255_u8)
        .flat_map(|first| {
            [
                vec![first],
                vec![first, 0],
                vec![first; 7],
                vec![first; 300],
            ]
        })
        .collect();
    let sent = bodies.clone();
    let peer = playing_peer(0, move |peer| {
        for body in &sent {
            peer.queue(6, Kind::AUDIO, 1, 0, body)?;
            peer.queue(7, Kind::VIDEO, 1, 0, body)?;
        }
        peer.flush()?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    let warnings = ["no video sequence header arrived"];
    ended.assert_ended_with_warnings(0, "closed", "the server closed the connection", &warnings);
    let kept = ended.tags();
    for (kind, offset) in [(Tag::AUDIO, 0), (Tag::VIDEO, 1)] {
        let kept = kept.iter().skip(offset).step_by(2);
        assert!(kept.clone().all(|tag| tag.kind == kind));
        assert!(kept.map(|tag| &tag.body).eq(&bodies));
    }
}
