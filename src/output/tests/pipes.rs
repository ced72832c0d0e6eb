//! Recordings in pipes and devices.

use std::{
    io,
    time::{Duration, Instant},
};

use super::*;
use crate::output::pipe::{PipeRecording, PipeTarget};

/// A recording in a pipe, and both ends of the pipe.
struct PipeFixture {
    output: PipeRecording,
    now: Instant,
    writer: io::PipeWriter,
    reader: io::PipeReader,
}

impl PipeFixture {
    fn new() -> Self {
        Self::with(PipeOptions::default())
    }

    fn with(options: PipeOptions) -> Self {
        use std::os::fd::AsRawFd;
        let (reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", writer.as_raw_fd());
        Self {
            output: PipeRecording::new(PipeTarget::Path(path.into()), options),
            now: Instant::now(),
            writer,
            reader,
        }
    }

    fn video(&mut self, at_ms: u64, body: &[u8]) {
        self.send(TagKind::VIDEO, at_ms, body);
    }

    fn audio(&mut self, at_ms: u64, body: &[u8]) {
        self.send(TagKind::AUDIO, at_ms, body);
    }

    fn send(&mut self, kind: TagKind, at_ms: u64, body: &[u8]) {
        let info = FrameParser::new().parse(kind, body);
        self.output
            .media(self.now, info, at_ms, Payload::from(body))
            .unwrap();
    }

    /// All bytes of the pipe. They must fit into its buffer.
    async fn finish(mut self) -> Vec<u8> {
        self.output.finish(None).await.unwrap();
        drop((self.output, self.writer));
        read_all(self.reader)
    }
}

fn read_all(mut reader: impl io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn timestamps_of_a_pipe_restart_without_a_second_head() {
    let mut pipe = PipeFixture::new();
    pipe.video(0, &VIDEO_HEADER);
    pipe.video(0, &KEYFRAME);
    pipe.video(LAST_TIMESTAMP_MS + 40, &KEYFRAME);
    pipe.video(LAST_TIMESTAMP_MS + 80, &INTER_FRAME);
    let expected = [
        (9, 0, VIDEO_HEADER.to_vec()),
        (9, 0, KEYFRAME.to_vec()),
        (9, 0, VIDEO_HEADER.to_vec()),
        (9, 0, KEYFRAME.to_vec()),
        (9, 40, INTER_FRAME.to_vec()),
    ];
    assert_eq!(tags(&pipe.finish().await), expected);
}

#[tokio::test]
async fn a_pipe_is_not_split() {
    let mut pipe = PipeFixture::new();
    pipe.video(0, &KEYFRAME);
    pipe.video(40, &KEYFRAME);
    let expected = [(9, 0, KEYFRAME.to_vec()), (9, 40, KEYFRAME.to_vec())];
    assert_eq!(tags(&pipe.finish().await), expected);
}

#[tokio::test]
async fn metadata_that_does_not_decode_completely_follows_the_head_of_a_pipe_unchanged() {
    let mut pipe = PipeFixture::new();
    // The value of "b" has a marker without a known size (AMF0 2.1).
    let body = b"\x02\0\x0aonMetaData\x03\0\x01a\x05\0\x01b\x04\0\0\x09";
    let members = Object::from_iter([("a", Value::Null)]);
    let payload = Payload::from(&body[..]);
    pipe.output
        .metadata(pipe.now, 0, &members, payload)
        .unwrap();
    pipe.video(0, &KEYFRAME);
    let tags = tags(&pipe.finish().await);
    assert_eq!(tags[0], (18, 0, body.to_vec()));
    assert_eq!(tags[1].0, 9);
    assert_eq!(tags.len(), 2);
}

#[tokio::test]
async fn metadata_is_in_the_head_of_a_pipe_or_follows_unchanged() {
    let mut pipe = PipeFixture::new();
    let early = object(&["early"]);
    let payload = script_data("onMetaData", &early);
    pipe.output.metadata(pipe.now, 0, &early, payload).unwrap();
    pipe.video(0, &KEYFRAME);
    pipe.audio(0, &[0xAF, 1, 0x21]);
    pipe.output.flush_due(pipe.now).unwrap();
    // Encoded again, the reference (AMF0 2.9) would become a copy of the object.
    let body = b"\x02\0\x0aonMetaData\x03\0\x01a\x03\0\0\x09\0\x01b\x07\0\x01\0\0\x09";
    let mut values = amf0::Decoder::new(bytes::Bytes::from_static(&body[13..]));
    let members = values.value().unwrap().as_object().unwrap().clone();
    let payload = Payload::from(&body[..]);
    pipe.output
        .metadata(pipe.now, 7, &members, payload)
        .unwrap();
    let tags = tags(&pipe.finish().await);
    assert_eq!(tags[0].2, &*script_data("onMetaData", &object(&["early"])));
    assert_eq!((tags[1].0, tags[2].0), (9, 8));
    assert_eq!(tags[3..], [(18, 7, body.to_vec())]);
}

#[tokio::test]
async fn an_interrupted_finish_can_be_repeated() {
    let mut pipe = PipeFixture::new();
    // More than the buffer of the pipe accepts.
    let frame = [&KEYFRAME[..], &[7; 200_000]].concat();
    pipe.video(0, &frame);
    pipe.video(40, &INTER_FRAME);
    let patience = Duration::from_millis(20);
    let first = tokio::time::timeout(patience, pipe.output.finish(None)).await;
    assert!(first.is_err(), "the end waits for the reader");
    let deadline = Instant::now() + patience;
    let second = pipe.output.finish(Some(deadline)).await;
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let reader = pipe.reader.try_clone().unwrap();
    let reading = std::thread::spawn(move || read_all(reader));
    pipe.output.finish(None).await.unwrap();
    assert_eq!(pipe.output.totals().tags, 2);
    drop((pipe.output, pipe.writer));
    let expected = [(9, 0, frame), (9, 40, INTER_FRAME.to_vec())];
    assert!(tags(&reading.join().unwrap()) == expected);
}

#[test]
fn keyframes_of_an_mp4_pipe_reuse_buffers() {
    let mut pipe = PipeFixture::with(PipeOptions {
        format: Format::Mp4,
        fragment_ms: 0,
    });
    let reader = pipe.reader.try_clone().unwrap();
    let reading = std::thread::spawn(move || read_all(reader));
    pipe.video(0, mp4::AVC);
    pipe.audio(0, mp4::AAC);
    let keyframe = [&KEYFRAME[..], &[7; 200_000]].concat();
    let info = FrameParser::new().parse(TagKind::VIDEO, &keyframe);
    for second in 0..15 {
        let at_ms = 1000 * second;
        let payload = Payload::from(&keyframe[..]);
        let memory = allocation_counter::measure(|| {
            pipe.output.media(pipe.now, info, at_ms, payload).unwrap();
            pipe.audio(at_ms, &[0xAF, 1, 7, 7]);
            pipe.audio(at_ms + 21, &[0xAF, 1, 7, 7]);
            pipe.output.flush_due(pipe.now).unwrap();
            while !pipe.output.is_drained() {
                std::thread::yield_now();
                pipe.output.flush_due(pipe.now).unwrap();
            }
        });
        let bytes = memory.bytes_total;
        assert!(
            second < 5 || bytes < 20_000,
            "{bytes} new bytes in second {second}"
        );
        while pipe.output.take_spent().is_some() {}
    }
    drop((pipe.output, pipe.writer));
    assert!(reading.join().unwrap().len() > 15 * keyframe.len());
}

#[tokio::test]
async fn a_device_is_written_as_a_pipe() {
    let mut output = tee("/dev/null");
    write_keyframe(&mut output).await.unwrap();
    assert!(matches!(output, Tee::Pipe(_)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_device_ends_with_storage_full() {
    let error = write_keyframe(&mut tee("/dev/full")).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

fn tee(path: &str) -> Tee {
    let destination = Destination::Path(path.into());
    let options = FileOptions::default();
    Tee::new(
        destination,
        None,
        &SegmentOptions::none(),
        (options, PipeOptions::default()),
        None,
    )
}

async fn write_keyframe(output: &mut Tee) -> io::Result<()> {
    let now = Instant::now();
    let info = FrameParser::new().parse(TagKind::VIDEO, &KEYFRAME);
    output.media(now, info, 0, Payload::from(&KEYFRAME[..]))?;
    output.flush_due(now)?;
    output.finish(None).await
}

/// Ten frames at 40 ms intervals of each track whose letter is in `tracks`.
async fn piped(tracks: &str) -> Vec<u8> {
    let mut pipe = PipeFixture::new();
    for at_ms in (0..400).step_by(40) {
        if tracks.contains('v') {
            pipe.video(at_ms, &KEYFRAME);
        }
        if tracks.contains('a') {
            pipe.audio(at_ms + 10, &[0xAF, 1, 0x21]);
        }
        pipe.output.flush_due(pipe.now).unwrap();
    }
    pipe.finish().await
}

#[tokio::test]
async fn header_flags_of_a_pipe_are_the_tracks_that_arrive() {
    for (tracks, flags) in [("a", 4), ("v", 1), ("av", 5)] {
        let bytes = piped(tracks).await;
        assert_eq!(bytes[4], flags, "{tracks}");
        assert_eq!(tags(&bytes).len(), 10 * tracks.len(), "{tracks}");
    }
}

#[tokio::test]
async fn metadata_of_a_missing_track_is_not_in_the_head_of_a_pipe() {
    let mut pipe = PipeFixture::new();
    let fields = object(&["audiocodecid", "videocodecid", "title"]);
    let payload = script_data("onMetaData", &fields);
    pipe.output.metadata(pipe.now, 0, &fields, payload).unwrap();
    pipe.video(0, &KEYFRAME);
    pipe.video(600, &KEYFRAME);
    let tags = tags(&pipe.finish().await);
    let expected = script_data("onMetaData", &object(&["videocodecid", "title"]));
    assert_eq!(tags[0].2, &*expected);
}

/// The reader of a pipe gets the head when the tracks are known, or half a second of one track.
#[tokio::test]
async fn the_head_of_a_pipe_waits_for_the_second_track_for_half_a_second() {
    for (body, at_ms) in [(&KEYFRAME[..], 500), (&[0x27, 1, 0, 0, 0, 7], 40)] {
        let mut pipe = PipeFixture::new();
        pipe.video(0, &KEYFRAME);
        pipe.output.flush_due(pipe.now).unwrap();
        assert!(pipe.output.is_drained());
        assert_eq!(pipe.output.totals().bytes, 0);
        if at_ms == 500 {
            pipe.video(at_ms, body);
        } else {
            pipe.audio(at_ms, &[0xAF, 1, 0x21]);
        }
        pipe.output.flush_due(pipe.now).unwrap();
        pipe.output.wait_for_reader().await.unwrap();
        assert!(pipe.output.totals().bytes >= 13);
    }
    let mut pipe = PipeFixture::new();
    pipe.video(0, &KEYFRAME);
    let deadline = pipe.output.deadline().unwrap();
    assert_eq!(deadline, pipe.now + Duration::from_millis(500));
    pipe.output.flush_due(deadline).unwrap();
    pipe.output.wait_for_reader().await.unwrap();
}
