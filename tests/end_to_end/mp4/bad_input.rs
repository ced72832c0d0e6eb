//! Streams with unusual frames and times: MP4 keeps the frames of FLV, at their times.

use super::{
    codecs::{assert_same_samples, samples_of_flv},
    *,
};

#[test]
fn first_frame_need_not_be_a_keyframe() {
    let mut clip = Clip::sample();
    let first = clip.tags.iter().position(Tag::is_keyframe);
    clip.tags.remove(first.expect("a keyframe"));
    assert_keeps_frames(&clip);
}

#[test]
fn empty_frames_keep_the_times_of_the_other_frames() {
    let ffmpeg = require!(Ffmpeg::find());
    let mut clip = Clip::sample();
    for number in [60, 40, 20] {
        let timestamp_ms = clip.tags[number].timestamp_ms;
        for (kind, body) in [
            (Tag::VIDEO, &[0x27, 1, 0, 0, 0][..]),
            (Tag::AUDIO, &[0xAF, 1]),
        ] {
            let body = body.to_vec();
            clip.tags.insert(
                number,
                Tag {
                    kind,
                    timestamp_ms,
                    body,
                },
            );
        }
    }
    let file = assert_keeps_frames(&clip);
    ffmpeg.assert_plays(&file.path("out.mp4"));
}

#[test]
fn damaged_frames_are_left_out_with_one_warning() {
    let clip = Clip::sample();
    let mut damaged = clip.clone();
    for number in [60, 40, 20] {
        let (timestamp_ms, kind) = (clip.tags[number].timestamp_ms, Tag::VIDEO);
        // The composition time is cut.
        let body = vec![0x27, 1, 0];
        let tag = Tag {
            kind,
            timestamp_ms,
            body,
        };
        damaged.tags.insert(number, tag);
    }
    let recorded = Recording::new("out.mp4", &[]).of(damaged);
    recorded.finished.assert_ended(0, "ended");
    let stderr = &recorded.finished.stderr;
    assert_eq!(
        stderr.matches("a damaged video frame is left out").count(),
        1,
        "{stderr}"
    );
    let ffmpeg = require!(Ffmpeg::find());
    let [_, intact] = record(&clip);
    let media = [&recorded, &intact].map(|file| Media::read(&ffmpeg, &file.path("out.mp4")));
    media[0].assert_equals(&media[1]);
}

#[test]
fn repeated_times_are_kept_within_a_millisecond() {
    let mut clip = Clip::sample();
    let frames = clip.tags.iter_mut().filter(|tag| tag.timestamp_ms > 0);
    // Three frames of each track share a time.
    frames.for_each(|tag| tag.timestamp_ms -= tag.timestamp_ms % 3);
    assert_keeps_frames(&clip);
}

#[test]
fn jumps_forward_are_kept_as_gaps() {
    let mut clip = Clip::sample();
    let later = clip.tags.iter_mut().filter(|tag| tag.timestamp_ms >= 1500);
    later.for_each(|tag| tag.timestamp_ms += 2_000);
    assert_keeps_frames(&clip);
}

#[test]
fn steps_back_keep_all_frames() {
    let mut clip = Clip::sample();
    let later = clip.tags.iter_mut().filter(|tag| tag.timestamp_ms >= 1500);
    later.for_each(|tag| tag.timestamp_ms -= 700);
    let [flv, mp4] = record(&clip);
    let expected = samples_of_flv(&Clip::read(&flv.path("out.flv")));
    let ffmpeg = require!(Ffmpeg::find());
    let media = Media::read(&ffmpeg, &mp4.path("out.mp4"));
    let found = [media.video.packets.len(), media.audio.packets.len()];
    assert_eq!(found, expected.map(|samples| samples.len()));
}

#[test]
fn late_sequence_headers_lose_no_frame() {
    let mut clip = Clip::sample();
    let header = clip
        .tags
        .iter()
        .position(|tag| tag.kind == Tag::VIDEO && tag.is_sequence_header());
    let mut header = clip.tags.remove(header.expect("a sequence header"));
    let at = clip
        .tags
        .iter()
        .position(|tag| tag.timestamp_ms > 800)
        .expect("a later tag");
    header.timestamp_ms = clip.tags[at].timestamp_ms;
    clip.tags.insert(at, header);
    let recorded = Recording::new("out.mp4", &[]).of(clip.clone());
    recorded.finished.assert_ended(0, "ended");
    let names = recorded.names();
    let flv = names
        .iter()
        .find(|name| name.ends_with(".flv"))
        .expect("an FLV file");
    let found = samples_of_flv(&Clip::read(&recorded.path(flv)));
    let reference = Recording::new("out.flv", &[]).of(clip);
    let expected = samples_of_flv(&Clip::read(&reference.path("out.flv")));
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(found, expected);
}

fn record(clip: &Clip) -> [Recorded; 2] {
    ["out.flv", "out.mp4"].map(|output| {
        let recorded = Recording::new(output, &[]).of(clip.clone());
        recorded.finished.assert_ended(0, "ended");
        assert_eq!(recorded.names(), [output]);
        recorded
    })
}

/// Panics unless the MP4 recording has the frames of the FLV recording at the same times.
#[track_caller]
fn assert_keeps_frames(clip: &Clip) -> Recorded {
    let [flv, mp4] = record(clip);
    let file = mp4.path("out.mp4");
    assert_eq!(boxes(&file), ["ftyp", "mdat", "moov"]);
    assert_same_samples(&file, &samples_of_flv(&Clip::read(&flv.path("out.flv"))));
    assert_ffprobe_accepts(&file);
    mp4
}
