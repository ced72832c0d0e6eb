//! Joined inputs that repeat the end of the previous one.
//!
//! Two recordings of one stream often overlap. The frames of the next input are therefore compared with the
//! last written ones before any of them is written. If the input repeats the frames up to the last written one,
//! the output continues with the frame after it. Otherwise the input is read again from its start.

use std::time::Instant;

use super::{Converter, End, Message};
use crate::core::{
    flv::FrameInfo,
    rejoin::matcher::{Arrival, Expectation, MatchPoint, Matcher, Origin, Verdict},
};

/// The search for the end of the previous input in the current one.
#[derive(Debug, Default)]
pub(super) enum Overlap {
    /// The input continues the output, with or without an overlap.
    #[default]
    Decided,
    Searching(Box<Matcher>),
    /// The input does not repeat the end of the output, and must be read again.
    Missing,
}

impl Converter<'_> {
    /// Starts to compare the next input with the frames written so far.
    pub(super) fn search_overlap(&mut self) {
        self.overlap = match &self.history {
            Some(history) if history.frames() > 0 => {
                Overlap::Searching(Box::new(Matcher::new(history.clone(), EXPECTATION)))
            }
            _ => Overlap::Decided,
        };
    }

    /// Remembers a written message if another input may repeat it.
    pub(super) fn note_written(&mut self, info: FrameInfo, at_ms: u64, body: &[u8]) {
        if let Some(history) = &mut self.history {
            history.note(info, at_ms, body);
        }
    }

    /// Compares a message with the written ones. Returns it if no search is running.
    pub(super) fn match_message(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<Option<Message>, End> {
        let Overlap::Searching(matcher) = &mut self.overlap else {
            return Ok(Some(message));
        };
        let verdict = matcher.offer(Arrival {
            at: now,
            info: message.info,
            timestamp: message.timestamp,
            payload: message.payload,
        });
        match verdict {
            Verdict::AlreadyWritten(payload) => self.pool.put(payload),
            Verdict::Undecided => {}
            Verdict::Matched(match_point) => self.continue_at(now, *match_point)?,
            Verdict::NoMatch => self.overlap = Overlap::Missing,
        }
        Ok(None)
    }

    /// Ends a search that is undecided at the end of the input.
    pub(super) fn conclude_overlap(&mut self, now: Instant) -> Result<(), End> {
        let Overlap::Searching(matcher) = &mut self.overlap else {
            return Ok(());
        };
        match matcher.finish() {
            Some(match_point) => self.continue_at(now, match_point),
            None => {
                self.overlap = Overlap::Missing;
                Ok(())
            }
        }
    }

    fn continue_at(&mut self, now: Instant, match_point: MatchPoint) -> Result<(), End> {
        self.overlap = Overlap::Decided;
        let end_ms = self.clock.position_ms();
        tracing::info!(
            "the input repeats frames before {:.3} s of the output: they are written once",
            end_ms as f64 / 1000.0
        );
        self.clock = match_point.clock;
        for (at_ms, arrival) in match_point.arrivals {
            let message = Message {
                info: arrival.info,
                timestamp: arrival.timestamp,
                payload: arrival.payload,
            };
            self.count_frame(message.info);
            self.write(now, at_ms, message)?;
        }
        Ok(())
    }
}

/// An overlap starts with the first frames of the input. Silence and other content that occurs several times may
/// precede the first frame that identifies the position.
const EXPECTATION: Expectation = Expectation {
    is_from_start: false,
    limit_ms: 10_000,
    limit_bytes: 64 << 20,
    origin: Origin::Recorded,
};
