use super::*;
use crate::core::flv::FrameParser;

/// A frame: track, timestamp, and the byte that makes its content.
type Frame = (TagKind, u32, u8);

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

const V: TagKind = TagKind::VIDEO;
const A: TagKind = TagKind::AUDIO;

fn body(kind: TagKind, content: u8) -> Vec<u8> {
    let start: &[u8] = if kind == V {
        &[0x27, 1, 0, 0, 0]
    } else {
        &[0xAF, 1]
    };
    [start, &[content; 20]].concat()
}

fn info(kind: TagKind, body: &[u8]) -> FrameInfo {
    FrameParser::new().parse(kind, body)
}

fn history(frames: &[Frame]) -> History {
    let mut history = History::default();
    for (kind, at_ms, content) in frames {
        let body = body(*kind, *content);
        history.note(info(*kind, &body), u64::from(*at_ms), &body);
    }
    history
}

const ANYWHERE: Expectation = Expectation {
    is_from_start: false,
    limit_ms: 1_000,
    limit_bytes: 1 << 20,
    origin: Origin::Recorded,
};

fn arrival((kind, timestamp, content): Frame) -> Arrival {
    let body = body(kind, content);
    Arrival {
        at: Instant::now(),
        info: info(kind, &body),
        timestamp: Timestamp(timestamp),
        payload: Payload::from(&body[..]),
    }
}

/// A live stream that breaks while one track is still repeated is unbroken so far.
#[test]
fn new_frames_of_one_track_survive_a_lost_connection() {
    let old = [(V, 0, 1), (A, 10, 2), (V, 40, 3), (A, 50, 4)];
    let mut live = Matcher::new(history(&old), Expectation::LIVE);
    for frame in [(V, 1000, 1), (V, 1040, 3), (V, 1080, 5), (A, 1010, 2)] {
        let verdict = live.offer(arrival(frame));
        assert!(matches!(
            verdict,
            Verdict::AlreadyWritten(_) | Verdict::Undecided
        ));
    }
    let match_point = live.finish().expect("it leads on");
    let candidates: Vec<_> = match_point
        .arrivals
        .iter()
        .map(|(at_ms, _)| *at_ms)
        .collect();
    assert_eq!(candidates, [80]);
}

/// A track that ended during the interruption must not hold back the other track.
#[test]
fn an_ended_track_does_not_delay_the_match() {
    let mut old = Vec::new();
    for number in 0..20 {
        let at_ms = u32::from(number) * 40;
        old.extend([(V, at_ms, number), (A, at_ms, number)]);
    }
    let mut live = Matcher::new(history(&old), Expectation::LIVE);
    for number in 0..20 {
        live.offer(arrival((V, 5_000 + u32::from(number) * 40, number)));
    }
    let new = (20..250_u8).chain(0..200).enumerate();
    let held = new
        .map(|(count, content)| live.offer(arrival((V, 5_800 + 40 * count as u32, content))))
        .take_while(|verdict| matches!(verdict, Verdict::Undecided));
    assert!(held.count() <= 10_000 / 40 + 1, "ten seconds are enough");
}

/// Many recordings start with silence, so silence does not identify the position of a live stream.
#[test]
fn initial_silence_does_not_extend_the_limit_of_a_live_match() {
    let old: Vec<Frame> = (0..500).map(|number| (A, number * 20, 2)).collect();
    let mut live = Matcher::new(history(&old), Expectation::LIVE);
    let verdicts = (0..60).map(|number| live.offer(arrival((A, 5_000 + number * 20, 2))));
    let held = verdicts.take_while(|verdict| matches!(verdict, Verdict::Undecided));
    assert_eq!(held.count(), 51);
    assert_eq!(live.give_up().len(), 52);
}

/// Frames that were held before the anchor was found are not new because the stream ends.
#[test]
fn a_stream_that_ends_within_known_frames_has_no_new_ones() {
    let old = [(A, 0, 2), (A, 20, 2), (V, 20, 3), (A, 40, 2), (V, 60, 4)];
    let mut live = Matcher::new(history(&old), Expectation::LIVE);
    for frame in [(A, 1000, 2), (A, 1020, 2), (V, 1020, 3)] {
        live.offer(arrival(frame));
    }
    assert!(live.finish().is_none());
    assert!(live.give_up().is_empty());
}

/// Returns the new frames with their output times, or the index of the message that made a match
/// impossible.
fn matcher(
    old: &[Frame],
    expectation: Expectation,
    new: &[Frame],
) -> Result<Vec<(u64, u8)>, usize> {
    let mut matcher = Matcher::new(history(old), expectation);
    for (index, frame) in new.iter().enumerate() {
        match matcher.offer(arrival(*frame)) {
            Verdict::AlreadyWritten(_) | Verdict::Undecided => {}
            Verdict::NoMatch => return Err(index),
            Verdict::Matched(match_point) => {
                let MatchPoint {
                    mut clock,
                    arrivals,
                    ..
                } = *match_point;
                let with_content = |(at_ms, arrival): (u64, Arrival)| {
                    (at_ms, *arrival.payload.last().expect("a body"))
                };
                let mut found: Vec<_> = arrivals.into_iter().map(with_content).collect();
                for (kind, timestamp, content) in &new[index + 1..] {
                    found.push((clock.compared_frame(*kind, Timestamp(*timestamp)), *content));
                }
                return Ok(found);
            }
        }
    }
    assert!(matcher.finish().is_none());
    Err(new.len())
}

/// Frames of video and audio in turn, each with its own content, every 40 ms.
fn frames(numbers: std::ops::Range<u8>) -> Vec<Frame> {
    let frame = |number: u8| {
        (
            if number.is_multiple_of(2) { V } else { A },
            20 * u32::from(number),
            number,
        )
    };
    numbers.map(frame).collect()
}

/// The same frames on another clock.
fn moved(frames: &[Frame], by_ms: u32) -> Vec<Frame> {
    let on = |(kind, at_ms, content): &Frame| (*kind, at_ms.wrapping_add(by_ms), *content);
    frames.iter().map(on).collect()
}

fn candidates(frames: &[Frame]) -> Vec<(u64, u8)> {
    let place = |(_, at_ms, content): &Frame| (u64::from(*at_ms), *content);
    frames.iter().map(place).collect()
}

#[test]
fn the_overlap_matches_on_any_clock() {
    let expected = candidates(&frames(30..40));
    for by_ms in [
        0,
        0_u32.wrapping_sub(200),
        900_000,
        0xFFFF_FF00,
        0x7FFF_FF00,
    ] {
        let new = moved(&frames(10..40), by_ms);
        assert_eq!(
            matcher(&frames(0..30), ANYWHERE, &new),
            Ok(expected.clone()),
            "{by_ms}"
        );
    }
}

#[test]
fn a_stream_that_starts_after_the_end_does_not_match() {
    assert_eq!(matcher(&frames(0..30), ANYWHERE, &frames(30..90)), Err(51));
    // Video continues with known frames, but the audio frames are missing.
    let mut new = frames(12..60);
    new.retain(|(kind, at_ms, _)| *kind == V || *at_ms > 600);
    assert_eq!(matcher(&frames(0..30), ANYWHERE, &new), Err(10));
}

#[test]
fn a_few_equal_frames_do_not_prove_a_match() {
    assert_eq!(matcher(&frames(0..30), ANYWHERE, &frames(25..60)), Err(4));
    let from_start = Expectation {
        is_from_start: true,
        ..ANYWHERE
    };
    assert!(matcher(&frames(0..30), from_start, &frames(25..60)).is_ok());
    // All frames of a short recording are sufficient.
    assert!(matcher(&frames(0..3), ANYWHERE, &frames(0..60)).is_ok());
}

/// A stream on a second connection may lack a frame that the first one has not delivered.
#[test]
fn second_connection_matches_only_in_both_tracks() {
    let both = Expectation::SECOND_CONNECTION;
    let written = frames(0..30);
    assert!(matcher(&written, both, &frames(12..60)).is_ok());
    let mut video_first = frames(12..60);
    video_first.retain(|(kind, at_ms, _)| *kind == V || *at_ms > 600);
    assert!(matcher(&written, both, &video_first).is_err());
    // Fewer repeated frames prove nothing, because the recording grows until there are enough.
    assert!(matcher(&written, both, &frames(25..60)).is_err());
    assert!(matcher(&frames(0..40), both, &frames(25..60)).is_ok());
}

#[test]
fn second_connection_returns_all_messages_for_another_comparison() {
    let mut matcher = Matcher::new(history(&frames(0..30)), Expectation::SECOND_CONNECTION);
    let new = frames(25..40);
    let taken = new
        .iter()
        .position(|frame| matches!(matcher.offer(arrival(*frame)), Verdict::NoMatch));
    let taken = taken.expect("too few repeated frames") + 1;
    let held: Vec<_> = matcher.into_held().map(|held| held.timestamp.0).collect();
    let expected: Vec<_> = new[..taken].iter().map(|(_, at_ms, _)| *at_ms).collect();
    assert_eq!(held, expected);
}

/// A stream that arrives in real time for seconds is not new: the other server may lag.
#[test]
fn second_connection_may_lag() {
    let mut matcher = Matcher::new(history(&frames(0..200)), Expectation::SECOND_CONNECTION);
    let start = Instant::now();
    let verdicts = frames(0..250).into_iter().map(|frame| {
        let at = start + Duration::from_millis(frame.1.into());
        matcher.offer(Arrival {
            at,
            ..arrival(frame)
        })
    });
    let decided = verdicts
        .into_iter()
        .find(|verdict| matches!(verdict, Verdict::NoMatch | Verdict::Matched(_)));
    assert!(matches!(decided, Some(Verdict::Matched(_))), "{decided:?}");
}

#[test]
fn order_and_spacing_distinguish_silent_frames() {
    let silent = |frames: Vec<Frame>| -> Vec<Frame> {
        let hush = |(kind, at_ms, content)| (kind, at_ms, if kind == A { 0 } else { content });
        frames.into_iter().map(hush).collect()
    };
    let expected = candidates(&silent(frames(31..50)));
    let new = moved(&silent(frames(8..50)), 777);
    assert_eq!(
        matcher(&silent(frames(0..31)), ANYWHERE, &new),
        Ok(expected)
    );
}

#[test]
fn silence_alone_matches_only_from_the_start() {
    let silence = |range: std::ops::Range<u32>| -> Vec<Frame> {
        range.map(|number| (A, number * 23, 0)).collect()
    };
    assert!(matcher(&silence(0..30), ANYWHERE, &silence(10..40)).is_err());
    let from_start = Expectation {
        is_from_start: true,
        ..ANYWHERE
    };
    assert_eq!(
        matcher(&silence(0..30), from_start, &moved(&silence(0..40), 5)),
        Ok(candidates(&silence(30..40)))
    );
}

#[test]
fn unknown_frame_restarts_the_match() {
    let mut new = frames(5..50);
    // One of the old frames arrives early, as if it were the first one of the stream.
    new.insert(0, (V, 0, 20));
    let expected = candidates(&frames(30..50));
    assert_eq!(matcher(&frames(0..30), ANYWHERE, &new), Ok(expected));
    // The last written frame differs.
    let mut new = frames(5..90);
    new[24].2 = 200;
    assert!(matcher(&frames(0..30), ANYWHERE, &new).is_err());
}

#[test]
fn audio_before_the_keyframe_is_not_lost() {
    // All audio arrives one second early.
    let late = |frames: Vec<Frame>| {
        let (audio, video): (Vec<_>, Vec<_>) =
            frames.into_iter().partition(|(kind, ..)| *kind == A);
        let mut frames: Vec<_> = audio.into_iter().map(|f| (f.1, f)).collect();
        frames.extend(video.into_iter().map(|f| (f.1 + 110, f)));
        frames.sort_by_key(|(order, _)| *order);
        frames
            .into_iter()
            .map(|(_, frame)| frame)
            .collect::<Vec<Frame>>()
    };
    let found = matcher(&frames(0..30), ANYWHERE, &late(frames(10..50)));
    let mut found = found.expect("a matcher");
    found.sort_unstable();
    assert_eq!(found, candidates(&frames(30..50)));
}

#[test]
fn held_messages_are_bounded() {
    let mut matcher = Matcher::new(
        history(&frames(0..30)),
        Expectation {
            limit_ms: i64::MAX,
            limit_bytes: u64::MAX,
            ..ANYWHERE
        },
    );
    for number in 0..5_000_u32 {
        let mut arrival = arrival((V, number, 99));
        arrival.payload.extend_from_slice(&number.to_be_bytes());
        arrival.payload.extend_from_slice(&vec![0; 10_000]);
        assert!(matches!(matcher.offer(arrival), Verdict::Undecided));
        assert!(matcher.held.len() <= MAX_HELD && matcher.held_bytes <= MAX_HELD_BYTES);
    }
    // A later match counts only if no evicted frame was new.
    let mut verdicts = frames(10..40).into_iter().map(|frame| {
        let moved = (frame.0, frame.1 + 30_000, frame.2);
        matches!(matcher.offer(arrival(moved)), Verdict::Matched(_))
    });
    assert!(verdicts.any(|is_proved| is_proved));
}

#[test]
fn sequence_headers_and_script_data_are_written_once() {
    let configuration: &[u8] = &[0x17, 0, 0, 0, 0, 1];
    let end_of_sequence: &[u8] = &[0x17, 2, 0, 0, 0];
    let message = |kind, timestamp, body: &[u8]| Arrival {
        at: Instant::now(),
        info: info(kind, body),
        timestamp: Timestamp(timestamp),
        payload: Payload::from(body),
    };
    let mut old = history(&frames(0..30));
    old.note(info(TagKind::SCRIPT, b"cue"), 580, b"cue");
    old.note(info(V, end_of_sequence), 580, end_of_sequence);
    let mut matcher = Matcher::new(old, ANYWHERE);
    assert!(matches!(
        matcher.offer(message(V, 0, configuration)),
        Verdict::Undecided
    ));
    for frame in frames(10..30) {
        matcher.offer(arrival(frame));
        let script = matcher.offer(message(TagKind::SCRIPT, 0, b"cue"));
        assert!(matches!(script, Verdict::AlreadyWritten(_)));
    }
    let end = matcher.offer(message(V, 580, end_of_sequence));
    let Verdict::Matched(match_point) = end else {
        panic!("{end:?}");
    };
    assert!(match_point.arrivals.is_empty());
    assert_eq!(match_point.offset_ms, 0);
}

#[test]
fn the_history_is_bounded() {
    let mut history = History::default();
    for number in 0..(super::super::history::MAX_FRAMES as u64 + 100) {
        let body = [&[0xAF, 1][..], &number.to_be_bytes()].concat();
        history.note(info(A, &body), number, &body);
    }
    assert_eq!(
        history.frames(),
        super::super::history::MAX_FRAMES as u64 + 100
    );
    assert_eq!(history.end_ms(), history.frames() - 1);
    let index = history.into_index();
    assert_eq!(index.tracks.audio.len(), super::super::history::MAX_FRAMES);
    // The first frames are still known.
    let body = [0xAF, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    assert!(index.is_head(Content::of(info(A, &body), &body)));
}

#[test]
fn a_limited_history_keeps_the_latest_frames() {
    let mut history = History::default();
    for number in 0..100 {
        if number == 50 {
            history.limit(16);
        }
        let body = [0xAF, 1, number as u8];
        history.note(info(A, &body), number, &body);
    }
    assert_eq!((history.frames(), history.end_ms()), (100, 99));
    let index = history.into_index();
    let times: Vec<_> = (0..).map_while(|at| index.tracks.audio.get(at)).collect();
    assert!(times.iter().map(|frame| frame.at_ms).eq(84..100));
}

#[test]
fn a_live_match_needs_fewer_frames_than_a_recorded_one() {
    let old: Vec<Frame> = vec![(VIDEO, 0, 1), (AUDIO, 10, 2), (VIDEO, 40, 3)];
    // The keyframe is repeated, but the audio before it is not.
    let old = [old, vec![(AUDIO, 50, 4), (VIDEO, 80, 5)]].concat();
    let new = [(VIDEO, 7080, 5), (AUDIO, 7090, 6), (VIDEO, 7120, 7)];
    let found = matcher(&old, Expectation::LIVE, &new);
    assert_eq!(found, Ok(vec![(90, 6), (120, 7)]));
    assert!(matcher(&old, ANYWHERE, &new).is_err());
}

#[test]
fn frames_after_a_gap_are_returned() {
    let old: Vec<Frame> = vec![(VIDEO, 0, 1), (AUDIO, 10, 2), (VIDEO, 40, 3)];
    let mut matcher = Matcher::new(history(&old), Expectation::LIVE);
    let mut given = 0;
    for number in 0..100_u8 {
        given += 1;
        let frame = (VIDEO, 9000 + 40 * u32::from(number), 100 + number % 50);
        match matcher.offer(arrival(frame)) {
            Verdict::Undecided => {}
            Verdict::NoMatch => break,
            verdict => panic!("{verdict:?}"),
        }
    }
    // One second of frames, and the frame after it.
    assert_eq!(given, 27);
    assert_eq!(matcher.give_up().len(), given);
}

/// Offers the last 100 of 250 written frames, one every `pace`, and returns the index of the frame
/// that decided, with the number of frames that a failed match returned.
fn repeat_at(pace: Duration) -> (usize, Option<usize>) {
    let frame = |number: u32| (V, 40 * number, number as u8);
    let old: Vec<Frame> = (0..250).map(frame).collect();
    let mut matcher = Matcher::new(history(&old), Expectation::LIVE);
    let began = Instant::now();
    for index in 0..100 {
        let (kind, at_ms, content) = frame(150 + index);
        let arrival = Arrival {
            at: began + pace * index,
            ..arrival((kind, at_ms + 5_000, content))
        };
        match matcher.offer(arrival) {
            Verdict::Undecided => {}
            Verdict::NoMatch => return (index as usize, Some(matcher.give_up().len())),
            verdict => {
                assert!(matches!(verdict, Verdict::Matched(_)), "{verdict:?}");
                return (index as usize, None);
            }
        }
    }
    panic!("100 frames decide nothing");
}

#[test]
fn a_burst_of_known_frames_is_a_repetition() {
    assert_eq!(repeat_at(Duration::from_millis(1)), (99, None));
    // A slow network delivers the burst at twice the play speed.
    assert_eq!(repeat_at(Duration::from_millis(20)), (99, None));
}

#[test]
fn known_frames_at_play_speed_are_new() {
    // Two seconds of 25 frames each, and every frame is returned.
    assert_eq!(repeat_at(Duration::from_millis(40)), (50, Some(51)));
}
