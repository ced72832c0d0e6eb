//! Clips that publishers send, and the comparison of a recording with them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    fixtures,
    peers::ffmpeg::Ffmpeg,
    process::Process,
    program::{Download, Running},
    server::{Clip, Tag},
    verify,
};

/// Published clip, sent at twice its speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    First,
    Second,
    /// Two minutes of media, published in one minute.
    Long,
    OtherLong,
}
use Source::{First, Long, OtherLong, Second};

/// Contiguous frames of a source that a recording contains.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    Complete(Source),
    /// All frames but the first audio frame.
    WithoutFirstAudio(Source),
    /// All frames but the last ones of each track, at most this number.
    WithoutEnd(Source, usize),
    Start(Source),
    End(Source),
    Excerpt(Source),
}
use Span::{Complete, End, Excerpt, Start, WithoutEnd, WithoutFirstAudio};

pub(super) struct Sources<'a> {
    ffmpeg: &'a Ffmpeg,
    files: HashMap<Source, (PathBuf, Clip)>,
}

impl<'a> Sources<'a> {
    pub(super) fn encode(ffmpeg: &'a Ffmpeg) -> Self {
        let of = |source, is_mirrored, seconds| {
            let file = fixtures::live_flv(ffmpeg, is_mirrored, seconds);
            let clip = Clip::read(&file);
            (source, (file, clip))
        };
        Self {
            ffmpeg,
            files: HashMap::from([
                of(First, false, 3),
                of(Second, true, 3),
                of(Long, false, 120),
                of(OtherLong, true, 120),
            ]),
        }
    }

    pub(super) fn publish(&self, source: Source, url: &str) -> Process {
        self.ffmpeg.publish(&self.files[&source].0, url)
    }

    /// Starts a server that sends `source` to one client.
    pub(super) fn listen_on(&self, port: u16, source: Source) -> Process {
        self.ffmpeg.listen_on(port, &self.files[&source].0)
    }

    fn frame_bodies(&self, source: Source, kind: u8) -> Vec<&[u8]> {
        frame_bodies(&self.files[&source].1, kind)
    }

    /// Interrupts a recording after it has written the last frames of `source`.
    #[track_caller]
    pub(super) fn interrupt_after(&self, source: Source, mut running: Running) -> Download {
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let last = self.frame_bodies(source, kind).pop().expect("a frame");
            while !ends_with(&running.file(), last) {
                assert!(
                    running.process.is_running(),
                    "{}",
                    running.finish().finished
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
        let download = running.interrupt();
        download.assert_ended(0, "interrupted");
        download
    }

    /// Panics unless the file consists of `spans`, its timestamps never decrease, and it plays.
    #[track_caller]
    pub(super) fn assert_spans(&self, download: &Download, spans: &[Span], gaps: usize) {
        let stderr = &download.finished.stderr;
        assert_eq!(stderr.matches("WARNING: gap of").count(), gaps, "{stderr}");
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let frame_bodies = frame_bodies(&clip, kind);
            let mut rest = &frame_bodies[..];
            for (index, span) in spans.iter().enumerate() {
                let (Complete(source)
                | WithoutFirstAudio(source)
                | WithoutEnd(source, _)
                | Start(source)
                | End(source)
                | Excerpt(source)) = *span;
                let expected = self.frame_bodies(source, kind);
                let from = match span {
                    Complete(_) | WithoutEnd(..) | Start(_) => Some(0),
                    WithoutFirstAudio(_) => Some(usize::from(kind == Tag::AUDIO)),
                    End(_) | Excerpt(_) => index_of(rest.first().copied(), &expected),
                };
                let from = from.unwrap_or_else(|| panic!("{kind}, {span:?} is missing: {stderr}"));
                let expected = &expected[from..];
                let same = rest
                    .iter()
                    .zip(expected)
                    .take_while(|(a, b)| a == b)
                    .count();
                let least = match span {
                    Start(_) | Excerpt(_) => 0,
                    WithoutEnd(_, missing) => expected.len().saturating_sub(*missing),
                    Complete(_) | WithoutFirstAudio(_) | End(_) => expected.len(),
                };
                assert!(
                    same >= least,
                    "{kind}, {span:?}, {index}: {same} of {}: {stderr}",
                    expected.len()
                );
                rest = &rest[same..];
            }
            assert_eq!(
                rest.len(),
                0,
                "kind {kind} has more than {spans:?}: {stderr}"
            );
        }
        self.assert_plays(download);
    }

    /// Panics unless the number of reported gaps is positive and equals the number of gaps in the
    /// file.
    #[track_caller]
    pub(super) fn assert_gaps_reported(&self, download: &Download) {
        let clip = download.clip();
        let source = self.frame_bodies(Long, Tag::VIDEO);
        let numbers: Vec<_> = frame_bodies(&clip, Tag::VIDEO)
            .into_iter()
            .map(|frame| index_of(Some(frame), &source).expect("a frame of the source"))
            .collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "each frame once and in order"
        );
        let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        let stderr = &download.finished.stderr;
        let gaps = stderr.matches("WARNING: gap of").count();
        assert!(gaps > 0, "{stderr}");
        assert_eq!(holes.count(), gaps, "{stderr}");
        self.assert_plays(download);
    }

    #[track_caller]
    fn assert_plays(&self, download: &Download) {
        let stderr = &download.finished.stderr;
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let times = clip.media().filter(|tag| tag.kind == kind);
            let times: Vec<_> = times.map(|tag| tag.timestamp_ms).collect();
            let back = times.windows(2).position(|pair| pair[1] < pair[0]);
            let near = back.map(|at| &times[at.saturating_sub(5)..times.len().min(at + 8)]);
            assert_eq!(near, None, "the clock of kind {kind} goes back: {stderr}");
        }
        verify::assert_ffprobe_accepts(&download.file());
        self.ffmpeg.assert_plays(&download.file());
    }
}

/// Returns the bodies of the frames, without sequence headers, end-of-sequence tags and empty tags.
fn frame_bodies(clip: &Clip, kind: u8) -> Vec<&[u8]> {
    let tags = clip.media_with_content().filter(|tag| tag.kind == kind);
    let frame_bodies = tags.filter(|tag| !tag.is_sequence_header() && !tag.body.is_empty());
    frame_bodies.map(|tag| &tag.body[..]).collect()
}

fn index_of(frame: Option<&[u8]>, frame_bodies: &[&[u8]]) -> Option<usize> {
    frame_bodies.iter().position(|other| Some(*other) == frame)
}

/// Returns whether the last bytes of a growing file contain this frame.
fn ends_with(file: &Path, frame: &[u8]) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(20_000)..];
    tail.windows(frame.len()).any(|window| window == frame)
}

/// Time limit of a publisher.
pub(super) const PUBLISH_LIMIT: Duration = Duration::from_secs(30);
