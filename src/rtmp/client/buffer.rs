//! The buffer that we announce.
//!
//! A server sends a recorded stream that far ahead of real time. Ask for hours, as other clients do,
//! and nginx-rtmp drops without a word what its queue cannot hold; ask for a few seconds more than
//! has arrived, again and again, and everything comes at the same speed.

use std::time::Instant;

use super::config::BufferLength;
use crate::rtmp::message::Timestamp;

/// Chooses each announcement from what has arrived.
#[derive(Debug)]
pub(super) struct Announcer {
    policy: Policy,
    first_timestamp: Option<Timestamp>,
    /// Media arrived when the last announcement went out, and when that was.
    last: Option<(u32, Instant)>,
    slow_in_a_row: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Growing,
    Once { ms: u32 },
}

/// A buffer length to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Milliseconds.
    pub(super) ms: u32,
    /// Whether growing announcements were given up, since they bring nothing.
    pub(super) gave_up_growing: bool,
}

impl Announcer {
    /// A live stream comes at the pace at which it is made: one announcement says all.
    pub(super) fn new(buffer: BufferLength, is_live: bool) -> Self {
        Self {
            policy: match buffer {
                BufferLength::Fixed { ms } => Policy::Once { ms },
                BufferLength::Growing if is_live => Policy::Once { ms: AHEAD_MS },
                BufferLength::Growing => Policy::Growing,
            },
            first_timestamp: None,
            last: None,
            slow_in_a_row: 0,
        }
    }

    /// What goes out with `play`.
    pub(super) fn first(&self) -> u32 {
        match self.policy {
            Policy::Growing => AHEAD_MS,
            Policy::Once { ms } => ms,
        }
    }

    /// Takes note of media; perhaps it is time for another announcement.
    pub(super) fn media(&mut self, now: Instant, timestamp: Timestamp) -> Option<Announcement> {
        if self.policy != Policy::Growing {
            return None;
        }
        let first = *self.first_timestamp.get_or_insert(timestamp);
        let arrived_ms = u32::try_from(timestamp.since(first)).unwrap_or(0);
        let (last_ms, last_at) = *self.last.get_or_insert((arrived_ms, now));
        let progress_ms = arrived_ms.saturating_sub(last_ms);
        if progress_ms < STEP_MS {
            return None;
        }
        if progress_ms > JUMP_MS {
            self.first_timestamp = Some(timestamp.wrapping_add(last_ms.wrapping_neg()));
            return None;
        }
        self.last = Some((arrived_ms, now));
        let elapsed_ms = now.saturating_duration_since(last_at).as_millis();
        if is_real_time(progress_ms, elapsed_ms) {
            self.slow_in_a_row = self.slow_in_a_row.saturating_add(1);
        } else {
            self.slow_in_a_row = 0;
        }
        // The first seconds come at once everywhere, so two in a row are two that were asked for.
        if self.slow_in_a_row == 2 {
            self.policy = Policy::Once { ms: EVERYTHING_MS };
            return Some(Announcement {
                ms: EVERYTHING_MS,
                gave_up_growing: true,
            });
        }
        Some(Announcement {
            ms: arrived_ms.saturating_add(AHEAD_MS),
            gave_up_growing: false,
        })
    }
}

/// Whether media came at the pace at which it plays: a server that keeps to its clock. Where it comes
/// at less than half that pace, the line is slow, and a larger buffer would only fill queues.
fn is_real_time(progress_ms: u32, elapsed_ms: u128) -> bool {
    let progress_ms = u128::from(progress_ms);
    let allowance_ms = progress_ms / 10;
    progress_ms <= elapsed_ms.saturating_add(allowance_ms)
        && elapsed_ms <= progress_ms.saturating_mul(2)
}

/// How far ahead of what has arrived is asked for. nginx-rtmp loses messages from 20 s on.
const AHEAD_MS: u32 = 5_000;

/// Media between two announcements.
const STEP_MS: u32 = 1_250;

/// A step this long is no media but another clock: configuration at 0, then frames from hours on.
const JUMP_MS: u32 = 30_000;

/// Ten hours: what rtmpdump asks for, and old servers know.
const EVERYTHING_MS: u32 = 36_000_000;

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
