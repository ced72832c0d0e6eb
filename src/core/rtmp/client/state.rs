//! The state of a session and the deadline that each state has.

use std::time::{Duration, Instant};

use super::{Client, config::Timeouts, event::End};
use crate::core::rtmp::{handshake::Handshake, message::Timestamp};

/// The state of a session, with the data that only this state needs.
///
/// A state stores the time at which it started to wait, not a deadline: the deadline follows from
/// the configured timeout and may be absent. Removing a timeout therefore never changes a state.
#[derive(Debug)]
pub(super) enum State {
    /// C0 and C1 are sent, S0, S1 and S2 have not all arrived.
    Handshake {
        handshake: Box<Handshake>,
        since: Instant,
    },
    /// `connect` is sent and not answered.
    Connecting {
        since: Instant,
        /// The calls that were sent together with `connect`.
        early: Option<EarlyCalls>,
    },
    /// `connect` is accepted, `createStream` is not answered.
    CreatingStream(CreatingStream),
    /// `play` is sent on an existing message stream, no media has arrived.
    AwaitingMedia(AwaitingMedia),
    /// Media arrives.
    Playing,
    /// `pause` is sent and not confirmed.
    Pausing {
        /// The position that `pause` names.
        at: Timestamp,
        /// Transaction id of `pause`.
        transaction: u32,
        since: Instant,
    },
    /// The unpause is sent, no new frame has arrived.
    Resuming,
    /// Stream EOF has arrived. Neither a confirmation nor new media has arrived after it.
    EndOfStream {
        /// The start of the wait. See [`Liveness::begin_wait`](super::liveness::Liveness::begin_wait).
        since: Instant,
        /// The Stream EOF arrived in [`State::Resuming`].
        is_resuming: bool,
    },
    /// The publisher has left and another one may arrive.
    AwaitingPublisher {
        /// The start of the wait. See [`Liveness::begin_wait`](super::liveness::Liveness::begin_wait).
        since: Instant,
        /// The end to report if no publisher arrives.
        end: End,
    },
    /// The session is over.
    Closed,
}

/// Calls that are sent together with `connect`, without waiting for its answer.
#[derive(Debug)]
pub(super) struct EarlyCalls {
    pub(super) create_stream: EarlyAnswer,
    /// Transaction id of `play`; `None` if it must be sent again.
    pub(super) play: Option<u32>,
}

/// The answer to an early `createStream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyAnswer {
    /// Not answered yet; holds the transaction id.
    Pending(u32),
    /// The message stream exists.
    Accepted,
    /// Refused, because it arrived before the server accepted `connect`.
    Refused,
}

/// [`State::CreatingStream`]: the calls in flight.
#[derive(Debug)]
pub(super) struct CreatingStream {
    pub(super) since: Instant,
    /// Transaction id of the `createStream` sent together with `connect`.
    pub(super) early: Option<u32>,
    /// The `createStream` sent after the answer to `connect`.
    pub(super) call: Option<SentCall>,
    /// Transaction id of the `play` sent together with `connect`; `None` if it must be sent.
    pub(super) early_play: Option<u32>,
}

/// [`State::AwaitingMedia`]: the `play` in flight.
#[derive(Debug)]
pub(super) struct AwaitingMedia {
    pub(super) since: Instant,
    /// Transaction id of `play`.
    pub(super) play: u32,
    /// `play` was sent together with `connect`.
    pub(super) is_early: bool,
    /// Time of the first Play.Start after `play`.
    pub(super) started_at: Option<Instant>,
    /// Other start positions that were tried after Play.Start and silence.
    pub(super) starts_tried: usize,
}

/// A call and the time at which it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentCall {
    pub(super) transaction: u32,
    pub(super) at: Instant,
}

/// The message that the server failed to send in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The server's handshake.
    Handshake,
    /// The answer to `connect`.
    Connect,
    /// The answer to `createStream`.
    CreateStream,
    /// The first media message.
    FirstMedia,
    /// The next media message.
    Silence,
}

/// The action at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// End the session.
    TimedOut(Timeout),
    /// Send `createStream` again.
    CreateStreamAgain,
    /// Send `play` with another start position.
    PlayFromNextStart,
    /// Announce a longer buffer length.
    LengthenBuffer,
    /// Start pause/unpause.
    Pause,
    /// End a pause that the server did not confirm.
    Unpause,
    /// Take a Stream EOF for the end of the stream.
    ConfirmEndOfStream,
    /// End the session because no publisher arrived.
    PublisherGone,
}

impl State {
    /// Returns true if media has arrived and the session is not over.
    pub(super) fn has_media(&self) -> bool {
        matches!(
            self,
            Self::Playing
                | Self::Pausing { .. }
                | Self::Resuming
                | Self::EndOfStream { .. }
                | Self::AwaitingPublisher { .. }
        )
    }

    /// Returns true between an unpause and the next new frame, when the server repeats media.
    pub(super) fn is_resuming(&self) -> bool {
        matches!(
            self,
            Self::Resuming
                | Self::EndOfStream {
                    is_resuming: true,
                    ..
                }
        )
    }

    /// Returns true if `transaction` is an unanswered `createStream`.
    pub(super) fn is_create_stream(&self, transaction: u32) -> bool {
        let call = match self {
            Self::CreatingStream(creating) => creating.call,
            _ => None,
        };
        call.is_some_and(|call| call.transaction == transaction)
            || self.is_early_create_stream(transaction)
    }

    /// Returns true if `transaction` is an unanswered `createStream` that was sent together with
    /// `connect`.
    pub(super) fn is_early_create_stream(&self, transaction: u32) -> bool {
        match self {
            Self::Connecting {
                early: Some(early), ..
            } => early.create_stream == EarlyAnswer::Pending(transaction),
            Self::CreatingStream(creating) => creating.early == Some(transaction),
            _ => false,
        }
    }

    /// Returns true if `transaction` is an unconfirmed `pause`.
    pub(super) fn is_pause(&self, transaction: u32) -> bool {
        matches!(self, Self::Pausing { transaction: pause, .. } if *pause == transaction)
    }

    /// Returns true if `connect` is accepted and no media has arrived, so that the refusal of any
    /// call can concern the stream. Earlier refusals, and those after another start position, may
    /// only concern the early or the first call.
    pub(super) fn is_before_media(&self) -> bool {
        match self {
            Self::CreatingStream(_) => true,
            Self::AwaitingMedia(awaiting) => awaiting.starts_tried == 0,
            _ => false,
        }
    }

    /// Returns true if `play` was sent and `connect` is not answered.
    pub(super) fn is_connecting_with_early_play(&self) -> bool {
        matches!(
            self,
            Self::Connecting {
                early: Some(EarlyCalls { play: Some(_), .. }),
                ..
            }
        )
    }

    /// Returns true if no media has arrived, even after `play` with another start position.
    pub(super) fn has_tried_other_starts(&self) -> bool {
        matches!(self, Self::AwaitingMedia(awaiting) if awaiting.starts_tried > 0)
    }

    /// Returns the transaction id of the last `play`, if no media has arrived.
    pub(super) fn play_transaction(&self) -> Option<u32> {
        match self {
            Self::Connecting { early, .. } => early.as_ref().and_then(|early| early.play),
            Self::CreatingStream(creating) => creating.early_play,
            Self::AwaitingMedia(awaiting) => Some(awaiting.play),
            _ => None,
        }
    }
}

impl CreatingStream {
    fn next_deadline(&self, timeouts: &Timeouts) -> Option<(Instant, Due)> {
        let unanswered = Due::TimedOut(Timeout::CreateStream);
        let call = match self.call {
            Some(call) => after(call.at, timeouts.command, unanswered),
            None => after(
                self.since,
                Some(EARLY_CALL_PATIENCE),
                Due::CreateStreamAgain,
            ),
        };
        // An early play may bring media without an answer to createStream. If neither arrives, the
        // missing answer is the cause to report.
        let media = self
            .early_play
            .and_then(|_| after(self.since, timeouts.first_media, unanswered));
        earlier(call, media)
    }
}

impl AwaitingMedia {
    /// Returns the timeout for the first media.
    pub(super) fn limit(&self, timeouts: &Timeouts) -> Option<Duration> {
        match self.started_at {
            Some(_) => timeouts.first_media_after_start,
            None => timeouts.first_media,
        }
    }
}

impl Client {
    /// Returns the next deadline of the current state and the action that it requires.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Due)> {
        let timeouts = &self.config.timeouts;
        match &self.state {
            State::Handshake { since, .. } => after(
                *since,
                timeouts.handshake,
                Due::TimedOut(Timeout::Handshake),
            ),
            State::Connecting { since, early } => {
                // A server that cannot handle early calls may stay silent. Half of the timeout
                // leaves time for another connection without them.
                let limit = match early {
                    Some(_) => fraction(timeouts.command, 2),
                    None => timeouts.command,
                };
                after(*since, limit, Due::TimedOut(Timeout::Connect))
            }
            State::CreatingStream(creating) => creating.next_deadline(timeouts),
            State::AwaitingMedia(awaiting) => {
                let limit = awaiting.limit(timeouts);
                let next_start = match awaiting.started_at {
                    Some(started_at) if self.next_start().is_some() => {
                        let quiet = fraction(limit, 3).unwrap_or(LONGEST_QUIET_START);
                        let quiet = quiet.clamp(SHORTEST_QUIET_START, LONGEST_QUIET_START);
                        after(started_at, Some(quiet), Due::PlayFromNextStart)
                    }
                    _ => None,
                };
                let media = after(awaiting.since, limit, Due::TimedOut(Timeout::FirstMedia));
                earlier(next_start, media)
            }
            // Half of the timeout passes before the pause, so that the other half is left to see
            // whether it helps.
            State::Playing if self.pause_unpause.is_first_try_available() => {
                let limit = fraction(timeouts.silence, 2).unwrap_or(SILENCE_BEFORE_PAUSE);
                let pause = after(self.liveness.alive_at(), Some(limit), Due::Pause);
                earlier(self.buffer_deadline(), pause)
            }
            State::Playing => earlier(self.buffer_deadline(), self.silence_deadline()),
            State::Resuming => self.silence_deadline(),
            State::Pausing { since, .. } => {
                // If silence caused the pause, half of the timeout has passed. A quarter must be left
                // for media after the unpause.
                let limit = fraction(timeouts.silence, 4)
                    .map_or(PAUSE_PATIENCE, |limit| limit.min(PAUSE_PATIENCE));
                let unpause = after(*since, Some(limit), Due::Unpause);
                earlier(unpause, self.silence_deadline())
            }
            State::EndOfStream { since, .. } => {
                // A silence timeout below the grace must not turn an ended stream into a stalled one.
                let limit = timeouts.silence.unwrap_or(END_OF_STREAM_GRACE);
                let limit = limit.min(END_OF_STREAM_GRACE);
                after(*since, Some(limit), Due::ConfirmEndOfStream)
            }
            State::AwaitingPublisher { since, .. } => {
                after(*since, Some(self.config.republish_wait), Due::PublisherGone)
            }
            State::Closed => None,
        }
    }

    fn buffer_deadline(&self) -> Option<(Instant, Due)> {
        let at = self.buffer_length.deadline()?;
        Some((at, Due::LengthenBuffer))
    }

    fn silence_deadline(&self) -> Option<(Instant, Due)> {
        let silence = self.config.timeouts.silence;
        let timed_out = Due::TimedOut(Timeout::Silence);
        after(self.liveness.alive_at(), silence, timed_out)
    }
}

/// Returns the deadline `limit` after `since`; `None` without a limit.
fn after(since: Instant, limit: Option<Duration>, due: Due) -> Option<(Instant, Due)> {
    Some((since.checked_add(limit?)?, due))
}

/// Returns the earlier of two deadlines, and the first one if they are equal.
fn earlier(one: Option<(Instant, Due)>, other: Option<(Instant, Due)>) -> Option<(Instant, Due)> {
    one.into_iter().chain(other).min_by_key(|(at, _)| *at)
}

fn fraction(limit: Option<Duration>, divisor: u32) -> Option<Duration> {
    limit.and_then(|limit| limit.checked_div(divisor))
}

/// How long after the answer to `connect` an early `createStream` may stay unanswered. Some servers
/// drop calls that arrive before they have accepted `connect`.
const EARLY_CALL_PATIENCE: Duration = Duration::from_secs(2);

/// Shortest silence after Play.Start before another start position is tried. A second `play` restarts
/// a stream that is only slow to start.
const SHORTEST_QUIET_START: Duration = Duration::from_secs(1);

/// Longest silence after Play.Start before another start position is tried.
const LONGEST_QUIET_START: Duration = Duration::from_secs(10);

/// How long the client waits for the confirmation of `pause`. Some servers never send it.
const PAUSE_PATIENCE: Duration = Duration::from_secs(1);

/// Silence before pause/unpause if no silence timeout is set.
const SILENCE_BEFORE_PAUSE: Duration = Duration::from_secs(15);

/// How long a server may take to confirm a Stream EOF or to continue after it.
const END_OF_STREAM_GRACE: Duration = Duration::from_secs(3);
