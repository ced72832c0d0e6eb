//! The transitions once media arrives: pause/unpause, the end of the stream, another publisher.

use std::{mem, time::Instant};

use super::{
    Client,
    config::Start,
    event::{End, Event},
    state::{CreatingStream, State},
};
use crate::core::rtmp::message::Timestamp;

impl Client {
    /// Records an audio or video message with a payload.
    pub(super) fn record_media(&mut self, now: Instant, timestamp: Timestamp, is_frame: bool) {
        match &mut self.state {
            // Media without `play` does not start the stream.
            State::Connecting { early: None, .. }
            | State::CreatingStream(CreatingStream {
                early_play: None, ..
            }) => return,
            // Media shows that the server has accepted all early calls. Their answers may be late
            // or missing.
            State::Connecting { .. } => {
                self.events.push_back(Event::Connected);
                self.start_playing(now);
            }
            State::CreatingStream(_) | State::AwaitingMedia(_) => self.start_playing(now),
            State::AwaitingPublisher { since, .. } => {
                let since = *since;
                self.publisher_returned(now, since);
            }
            State::EndOfStream { since, is_resuming } => {
                let (since, is_resuming) = (*since, *is_resuming);
                self.cancel_end_of_stream(now, since, is_resuming);
            }
            State::Resuming if is_frame => self.state = State::Playing,
            _ => {}
        }
        if is_frame {
            self.liveness.record_frame(now);
        }
        if let Some(announcement) = self.buffer_length.record_media(now, timestamp) {
            if announcement.gave_up_growing {
                tracing::info!(
                    "the server sends in real time: announcing a buffer of {} s",
                    announcement.ms / 1000
                );
            }
            self.announce_buffer_length(announcement.ms);
        }
    }

    /// Records a repeated frame that advances towards new frames.
    pub(super) fn record_repeated_frame(&mut self, now: Instant) {
        if let State::EndOfStream { since, is_resuming } = self.state {
            self.cancel_end_of_stream(now, since, is_resuming);
        }
        self.liveness.record_frame(now);
    }

    /// Extends the media timeouts if an unfinished message has grown. A large keyframe takes time on
    /// a slow connection, although it is not media before it is complete.
    pub(super) fn record_progress(&mut self, now: Instant) {
        let timeouts = &self.config.timeouts;
        let (since, limit) = match &self.state {
            State::AwaitingMedia(awaiting) => (awaiting.since, awaiting.limit(timeouts)),
            _ => (self.liveness.alive_at(), timeouts.silence),
        };
        let unfinished_bytes = self.decoder.unfinished_bytes();
        if self
            .liveness
            .record_progress(now, unfinished_bytes, since, limit)
        {
            self.restart_first_media_timeout(now);
        }
    }

    /// Restarts the timeout for the first media if none has arrived.
    pub(super) fn restart_first_media_timeout(&mut self, now: Instant) {
        if let State::AwaitingMedia(awaiting) = &mut self.state {
            awaiting.since = now;
        }
    }

    /// Announces a buffer length of minutes to a server that is silent after a burst.
    pub(super) fn lengthen_buffer(&mut self, now: Instant) {
        if let Some(ms) = self.buffer_length.lengthen(now) {
            tracing::debug!(
                "silence after a burst: announcing a buffer of {} s",
                ms / 1000
            );
            self.announce_buffer_length(ms);
        }
    }

    /// Starts pause/unpause if it can help: the server then sends the next buffer at once.
    pub(super) fn pause(&mut self, now: Instant) {
        if !matches!(self.state, State::Playing | State::Resuming) {
            return;
        }
        if let Some(at) = self.pause_unpause.next_position() {
            tracing::debug!("pausing at {at} to get the next buffer");
            self.pause_unpause.record_try();
            self.state = State::Pausing {
                at,
                transaction: self.call_pause(true, at),
                since: now,
            };
        }
    }

    /// Ends a pause that the server refused, and pauses no more.
    pub(super) fn pause_refused(&mut self) {
        self.pause_unpause.disable();
        self.unpause();
    }

    /// Ends a pause.
    pub(super) fn unpause(&mut self) {
        if let State::Pausing { at, .. } = self.state {
            self.pause_unpause.expect_repeats();
            self.state = State::Resuming;
            self.call_pause(false, at);
        }
    }

    /// Handles a Stream EOF: the publisher has left, or the stream is about to end.
    pub(super) fn stream_eof(&mut self, now: Instant) {
        if !self.state.has_media() {
            return;
        }
        if !self.config.republish_wait.is_zero() {
            return self.publisher_left(now, End::Unpublished(STREAM_EOF.to_owned()));
        }
        // Stream EOF alone does not end the session: nginx-rtmp sends it before a seek, and other
        // servers send it before the publisher returns.
        if matches!(self.state, State::Playing | State::Resuming) {
            self.state = State::EndOfStream {
                since: self.liveness.begin_wait(now),
                is_resuming: self.state.is_resuming(),
            };
        }
    }

    /// Ends the session after a Stream EOF that nothing contradicted.
    pub(super) fn confirm_end_of_stream(&mut self) {
        let reason = STREAM_EOF.to_owned();
        // Stream EOF does not name a cause. A live stream ends when its publisher leaves.
        self.end(match self.config.start {
            Start::Live => End::Unpublished(reason),
            Start::LiveElseRecorded | Start::At { .. } => End::Complete(reason),
        });
    }

    /// Handles Stream Begin or Play.Start: an ended stream starts again, perhaps with another
    /// publisher.
    pub(super) fn stream_begun(&mut self, now: Instant) {
        match self.state {
            State::AwaitingPublisher { since, .. } => self.publisher_returned(now, since),
            State::EndOfStream { since, is_resuming } => {
                self.cancel_end_of_stream(now, since, is_resuming);
                // During pause/unpause, Stream EOF and Stream Begin frame the seek of the server.
                if !is_resuming {
                    self.pause_unpause.restart();
                    self.events.push_back(Event::Restarted);
                }
            }
            _ => {}
        }
    }

    /// Waits for another publisher on the same connection, or ends the session with `end`.
    pub(super) fn publisher_left(&mut self, now: Instant, end: End) {
        if self.config.republish_wait.is_zero() || !self.state.has_media() {
            return self.end(end);
        }
        // The first notification counts: servers send up to three of them.
        if !matches!(self.state, State::AwaitingPublisher { .. }) {
            tracing::info!("the publisher left, waiting for another one");
            let since = self.liveness.begin_wait(now);
            self.state = State::AwaitingPublisher { since, end };
        }
    }

    /// Ends the session because no other publisher has arrived.
    pub(super) fn publisher_gone(&mut self) {
        // Not replaced by `Closed`, because `end` reports nothing in that state.
        if let State::AwaitingPublisher { end, .. } = mem::replace(&mut self.state, State::Playing)
        {
            self.end(end);
        }
    }

    fn publisher_returned(&mut self, now: Instant, since: Instant) {
        tracing::info!("the stream is published again");
        self.liveness.end_wait(now, since);
        self.state = State::Playing;
        self.events.push_back(Event::Restarted);
    }

    /// Continues after a Stream EOF that did not end the stream.
    fn cancel_end_of_stream(&mut self, now: Instant, since: Instant, is_resuming: bool) {
        self.liveness.end_wait(now, since);
        self.state = if is_resuming {
            State::Resuming
        } else {
            State::Playing
        };
    }

    fn start_playing(&mut self, now: Instant) {
        let time = &mut self.facts.round_trips.first_media;
        self.round_trips.first_media.end(now, "first media", time);
        self.liveness.restart(now);
        self.state = State::Playing;
    }
}

/// The reason reported if Stream EOF is the only notification of the end.
const STREAM_EOF: &str = "Stream EOF";
