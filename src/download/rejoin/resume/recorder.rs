//! Recorder for tests: writes messages as a download does, without a network.

use std::{path::Path, time::Instant};

use super::{RecordedRejoin, ScanResult, read};
use crate::{
    core::{
        flv::{FrameInfo, FrameParser, TagKind},
        output_clock::OutputClock,
        payload::Payload,
        rejoin::matcher::{Arrival, MatchPoint, Verdict},
        rtmp::message::Timestamp,
    },
    download::Resume,
    output::{Destination, FileOptions, PipeOptions, SegmentOptions, Tee},
};

/// A message of a recorded stream.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::download) struct Message {
    pub(in crate::download) kind: TagKind,
    pub(in crate::download) at_ms: u32,
    pub(in crate::download) body: Vec<u8>,
}

impl Message {
    pub(in crate::download) fn info(&self) -> FrameInfo {
        FrameParser::new().parse(self.kind, &self.body)
    }
}

/// Writes the messages of one or more connections as the pump does, without a network.
pub(in crate::download) struct Recorder {
    pub(in crate::download) output: Tee,
    pub(in crate::download) clock: OutputClock,
    pub(in crate::download) rejoin: Option<RecordedRejoin>,
    pub(in crate::download) now: Instant,
}

impl Recorder {
    pub(in crate::download) fn new(file: &Path) -> Self {
        Self {
            output: Tee::new(
                Destination::Path(file.to_owned()),
                None,
                &SegmentOptions::none(),
                (FileOptions::default(), PipeOptions::default()),
                None,
            ),
            clock: OutputClock::new(false),
            rejoin: None,
            now: Instant::now(),
        }
    }

    pub(in crate::download) fn resuming(file: &Path, skip_keyframes: u32) -> Self {
        let mut recorder = Self::new(file);
        match read(file, crate::output::Format::Flv).expect("a file that can be read") {
            ScanResult::ExistingRecording(recording, existing_file) => {
                let resume = Resume { skip_keyframes };
                recorder.rejoin = Some(RecordedRejoin::new(recording, resume));
                recorder.output.resume_from(*existing_file);
            }
            ScanResult::NoMedia => {}
            ScanResult::Unusable(why) => panic!("{why}"),
        }
        recorder
    }

    /// Takes a message, and returns false if the stream does not match.
    pub(in crate::download) fn take(&mut self, message: &Message) -> bool {
        let info = message.info();
        let payload = Payload::from(&message.body[..]);
        let timestamp = Timestamp(message.at_ms);
        let Some(rejoin) = &mut self.rejoin else {
            let at_ms = if info.carries_media {
                self.clock.compared_frame(info.track, timestamp)
            } else {
                self.clock.header_time(info, timestamp)
            };
            self.output.media(self.now, info, at_ms, payload).unwrap();
            return true;
        };
        let arrival = Arrival {
            at: Instant::now(),
            info,
            timestamp,
            payload,
        };
        match rejoin.offer(arrival) {
            Verdict::Matched(match_point) => self.join(*match_point),
            Verdict::AlreadyWritten(_) | Verdict::Undecided => {}
            Verdict::NoMatch => return false,
        }
        true
    }

    fn join(&mut self, match_point: MatchPoint) {
        self.rejoin = None;
        self.clock = match_point.clock;
        self.output.cut_garbage().unwrap();
        for (at_ms, arrival) in match_point.arrivals {
            self.output
                .media(self.now, arrival.info, at_ms, arrival.payload)
                .unwrap();
        }
    }

    /// Plays until the end, repeatedly, and returns false if the stream does not match the file.
    pub(in crate::download) fn play(&mut self, serve: impl Fn(u32) -> Vec<Message>) -> bool {
        let mut start_ms = self.rejoin.as_ref().map_or(0, RecordedRejoin::start_ms);
        loop {
            let is_over = serve(start_ms).iter().all(|message| self.take(message));
            let Some(rejoin) = &mut self.rejoin else {
                return true;
            };
            if is_over && let Some(match_point) = rejoin.finish() {
                self.join(match_point);
                return true;
            }
            match rejoin.next_start() {
                Some(next_ms) => start_ms = next_ms,
                None => return false,
            }
        }
    }

    pub(in crate::download) async fn finish(mut self) {
        self.output.finish(None).await.unwrap();
    }
}
