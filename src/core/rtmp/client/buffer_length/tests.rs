use super::*;

/// Records media every 250 ms of stream time, at `pace` times the play speed.
fn announcements(
    buffer: BufferLength,
    is_live: bool,
    pace: u32,
    seconds: u32,
) -> Vec<Announcement> {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(buffer, is_live);
    (0..seconds * 4)
        .filter_map(|frame| {
            let media_ms = frame * 250;
            let now = start + Duration::from_millis(u64::from(media_ms / pace));
            control.record_media(now, Timestamp(90_000).wrapping_add(media_ms))
        })
        .collect()
}

#[test]
fn buffer_length_stays_three_seconds_ahead_of_received_media() {
    let announced = announcements(BufferLength::Growing, false, 8, 10);
    let lengths: Vec<u32> = announced
        .iter()
        .map(|announcement| announcement.ms)
        .collect();
    // One eighth of the received media has been played and is no longer in the buffer.
    assert_eq!(lengths[..3], [4_094, 5_188, 6_282]);
    assert!(
        announced
            .iter()
            .all(|announcement| !announcement.gave_up_growing)
    );
}

#[test]
fn slow_server_gets_fewer_announcements() {
    // At twice the play speed, half of the received media is in the buffer. An announcement follows only
    // when less than two of the three announced seconds are left.
    let announced = announcements(BufferLength::Growing, false, 2, 11);
    let lengths: Vec<u32> = announced
        .iter()
        .map(|announcement| announcement.ms)
        .collect();
    assert_eq!(lengths, [4_250, 5_500, 6_750, 8_000]);
}

#[test]
fn real_time_server_gets_the_largest_buffer_length_once() {
    let announced = announcements(BufferLength::Growing, false, 1, 20);
    let expected = [(36_000_000, true)];
    let got: Vec<(u32, bool)> = announced
        .iter()
        .map(|announcement| (announcement.ms, announcement.gave_up_growing))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn live_stream_and_fixed_length_are_announced_once() {
    assert_eq!(announcements(BufferLength::Growing, true, 1, 20), []);
    let fixed = BufferLength::Fixed { ms: 777 };
    assert_eq!(announcements(fixed, false, 8, 20), []);
    assert_eq!(BufferLengthControl::new(fixed, false).initial_ms(), 777);
}

#[test]
fn slow_connection_is_not_real_time() {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(BufferLength::Growing, false);
    let mut announced = (0..100).filter_map(|frame| {
        let now = start + Duration::from_millis(u64::from(frame) * 300);
        control.record_media(now, Timestamp(frame * 250))
    });
    assert!(announced.all(|announcement| !announcement.gave_up_growing));
}

#[test]
fn short_bursts_at_real_time_count_as_real_time() {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(BufferLength::Growing, false);
    let announced = (0..200).filter_map(|frame| {
        let burst_ms = frame * 40 / 200 * 200;
        let now = start + Duration::from_millis(u64::from(burst_ms));
        control.record_media(now, Timestamp(frame * 40))
    });
    assert!(announced.last().is_some_and(|last| last.gave_up_growing));
}

#[test]
fn clock_jump_does_not_count_as_received_media() {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(BufferLength::Growing, false);
    assert_eq!(control.record_media(start, Timestamp(0)), None);
    assert_eq!(control.record_media(start, Timestamp(3_600_000)), None);
    let announced = control.record_media(start, Timestamp(3_601_250));
    assert_eq!(announced.map(|announcement| announcement.ms), Some(4_250));
}

/// Records `seconds` of media that arrive at once.
fn burst(control: &mut BufferLengthControl, now: Instant, from_s: u32, seconds: u32) -> Vec<u32> {
    let frames = from_s * 4..=(from_s + seconds) * 4;
    let announced = frames.filter_map(|frame| control.record_media(now, Timestamp(frame * 250)));
    announced.map(|announcement| announcement.ms).collect()
}

#[test]
fn silence_after_a_burst_announces_minutes() {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(BufferLength::Growing, false);
    assert_eq!(control.deadline(), None);
    burst(&mut control, start, 0, 12);
    let silent = start + Duration::from_secs(1);
    assert_eq!(control.deadline(), Some(silent));
    assert_eq!(control.lengthen(silent), Some(311_000));
    assert_eq!(control.deadline(), None, "once per silence");
}

#[test]
fn announcements_never_get_shorter() {
    let start = Instant::now();
    let mut control = BufferLengthControl::new(BufferLength::Growing, false);
    burst(&mut control, start, 0, 12);
    let mut last = control.lengthen(start + Duration::from_secs(1)).unwrap();
    for round in 1..20 {
        let now = start + Duration::from_secs(7 * u64::from(round));
        let mut announced = burst(&mut control, now, 12 * round, 12);
        announced.extend(control.lengthen(now + Duration::from_secs(1)));
        for ms in announced {
            assert!(ms >= last, "{ms} after {last}");
            last = ms;
        }
    }
    let before = burst(&mut control, start, 300, 8).pop();
    // The media that plays during a pause of the connection must not shorten it either.
    let later = burst(&mut control, start + Duration::from_secs(300), 308, 2);
    assert!(later.iter().all(|ms| Some(*ms) >= before));
}

#[test]
fn silence_without_a_burst_announces_nothing() {
    let start = Instant::now();
    for ms_per_frame in [250, 300, 2_000] {
        let mut control = BufferLengthControl::new(BufferLength::Growing, false);
        for frame in 0..40 {
            let now = start + Duration::from_millis(u64::from(frame * ms_per_frame));
            control.record_media(now, Timestamp(frame * 250));
            assert_eq!(control.deadline(), None, "frame {frame}");
        }
    }
    for (buffer, is_live) in [
        (BufferLength::Growing, true),
        (BufferLength::Fixed { ms: 777 }, false),
    ] {
        let mut control = BufferLengthControl::new(buffer, is_live);
        burst(&mut control, start, 0, 12);
        assert_eq!(control.deadline(), None);
    }
}
