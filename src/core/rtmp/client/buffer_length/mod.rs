//! The buffer length that the client announces.
//!
//! A server sends a recorded stream up to the buffer length ahead of real time, counted from the
//! first media. A player that announces hours, as other clients do, loses data on nginx-rtmp: it
//! silently drops what exceeds its queue of 256 messages. An announcement a few seconds ahead of
//! the received media, repeated as media arrives, gets the complete stream at the same speed.

use std::time::{Duration, Instant};

use super::config::BufferLength;
use crate::core::rtmp::message::Timestamp;

/// Chooses the buffer length to announce from the media that has arrived.
#[derive(Debug)]
pub(super) struct BufferLengthControl {
    policy: Policy,
    first: Option<(Timestamp, Instant)>,
    /// The last two announcements, the older one first.
    sent: [Option<Sent>; 2],
}

/// A sent announcement: how much media had arrived, and when.
#[derive(Debug, Clone, Copy)]
struct Sent {
    arrived_ms: u32,
    at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Growing,
    Once { ms: u32 },
}

/// A buffer length to announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announcement {
    /// The buffer length in milliseconds.
    pub(super) ms: u32,
    /// Whether growing announcements end with this one because they have no effect.
    pub(super) gave_up_growing: bool,
}

impl BufferLengthControl {
    /// Creates the control for one stream. A live stream arrives at the pace of its publisher, so a
    /// single announcement is enough.
    pub(super) fn new(buffer: BufferLength, is_live: bool) -> Self {
        Self {
            policy: match buffer {
                BufferLength::Fixed { ms } => Policy::Once { ms },
                BufferLength::Growing if is_live => Policy::Once { ms: AHEAD_MS },
                BufferLength::Growing => Policy::Growing,
            },
            first: None,
            sent: [None; 2],
        }
    }

    /// Returns the buffer length to announce with `play`.
    pub(super) fn initial_ms(&self) -> u32 {
        match self.policy {
            Policy::Growing => AHEAD_MS,
            Policy::Once { ms } => ms,
        }
    }

    /// Records a frame. Returns an announcement if one is due.
    pub(super) fn record_media(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
    ) -> Option<Announcement> {
        if self.policy != Policy::Growing {
            return None;
        }
        let (first, started_at) = *self.first.get_or_insert((timestamp, now));
        let arrived_ms = u32::try_from(timestamp.since(first)).unwrap_or(0);
        let now = Sent {
            arrived_ms,
            at: now,
        };
        let [before_last, last] = self.sent;
        let Some(last) = last else {
            self.sent = [None, Some(now)];
            return None;
        };
        let progress_ms = arrived_ms.saturating_sub(last.arrived_ms);
        if progress_ms < STEP_MS {
            return None;
        }
        if progress_ms > JUMP_MS {
            let first = timestamp.wrapping_add(last.arrived_ms.wrapping_neg());
            self.first = Some((first, started_at));
            return None;
        }
        self.sent = [Some(last), Some(now)];
        // The first buffer arrives at once from every server, so only the pace after the last
        // announcement shows its effect.
        if before_last.is_some_and(|before_last| is_real_time(before_last, now)) {
            self.policy = Policy::Once { ms: EVERYTHING_MS };
            return Some(Announcement {
                ms: EVERYTHING_MS,
                gave_up_growing: true,
            });
        }
        Some(Announcement {
            ms: length_ms(arrived_ms, now.at.saturating_duration_since(started_at)),
            gave_up_growing: false,
        })
    }
}

/// Returns the content of a player's buffer that has been playing since the first media arrived,
/// plus the margin.
fn length_ms(arrived_ms: u32, playing: Duration) -> u32 {
    let played_ms = u32::try_from(playing.as_millis()).unwrap_or(u32::MAX);
    arrived_ms
        .saturating_sub(played_ms)
        .saturating_add(AHEAD_MS)
}

/// Returns true if media arrived at play speed ±10 %: the server follows its clock and ignores the
/// announcements. Media that arrives more slowly indicates a slow connection, where a larger buffer
/// length would only fill queues.
fn is_real_time(from: Sent, to: Sent) -> bool {
    let media_ms = u128::from(to.arrived_ms.saturating_sub(from.arrived_ms));
    let elapsed_ms = to.at.saturating_duration_since(from.at).as_millis();
    let tenth_ms = media_ms / 10;
    (media_ms.saturating_sub(tenth_ms)..=media_ms.saturating_add(tenth_ms)).contains(&elapsed_ms)
}

/// Margin ahead of the received media: about 220 audio and video messages, which fit the 256
/// messages of nginx-rtmp.
const AHEAD_MS: u32 = 3_000;

/// Received media between two announcements.
const STEP_MS: u32 = 1_250;

/// A step larger than this is a clock change, for example sequence headers at 0 before frames at
/// hours.
const JUMP_MS: u32 = 30_000;

/// Ten hours, the value that rtmpdump announces and that old servers expect.
const EVERYTHING_MS: u32 = 36_000_000;

#[cfg(test)]
mod tests;
