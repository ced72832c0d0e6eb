//! The buffer that we announce.
//!
//! A server sends a recorded stream that far ahead of real time, which began with the first media.
//! Ask for hours, as other clients do, and nginx-rtmp drops without a word what its queue of 256
//! messages cannot hold; ask for a few seconds more than has arrived, again and again, and
//! everything comes at the same speed.

use std::time::{Duration, Instant};

use super::config::BufferLength;
use crate::core::rtmp::message::Timestamp;

/// Chooses each announcement from what has arrived.
#[derive(Debug)]
pub(super) struct BufferLengthControl {
    policy: Policy,
    first: Option<(Timestamp, Instant)>,
    /// The announcement before the last, and the last.
    sent: [Option<Sent>; 2],
}

/// An announcement that went out: how much media had arrived, and when.
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

/// A buffer length to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Milliseconds.
    pub(super) ms: u32,
    /// Whether growing announcements were given up, since they bring nothing.
    pub(super) gave_up_growing: bool,
}

impl BufferLengthControl {
    /// A live stream comes at the pace at which it is made: one announcement says all.
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

    /// What goes out with `play`.
    pub(super) fn initial_ms(&self) -> u32 {
        match self.policy {
            Policy::Growing => AHEAD_MS,
            Policy::Once { ms } => ms,
        }
    }

    /// Takes note of media; perhaps it is time for another announcement.
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
        // The first seconds come at once everywhere; it is what follows that was asked for.
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

/// What a player's buffer would hold that has played since the first media came, and a little more.
fn length_ms(arrived_ms: u32, playing: Duration) -> u32 {
    let played_ms = u32::try_from(playing.as_millis()).unwrap_or(u32::MAX);
    arrived_ms
        .saturating_sub(played_ms)
        .saturating_add(AHEAD_MS)
}

/// Whether media came at the pace at which it plays, give or take a tenth: a server that keeps to
/// its clock. Where it comes slower than that the line is slow, and a larger buffer would only fill
/// queues.
fn is_real_time(from: Sent, to: Sent) -> bool {
    let media_ms = u128::from(to.arrived_ms.saturating_sub(from.arrived_ms));
    let elapsed_ms = to.at.saturating_duration_since(from.at).as_millis();
    let tenth_ms = media_ms / 10;
    (media_ms.saturating_sub(tenth_ms)..=media_ms.saturating_add(tenth_ms)).contains(&elapsed_ms)
}

/// How far ahead of what has arrived is asked for: some 220 messages of video and audio.
const AHEAD_MS: u32 = 3_000;

/// Media between two announcements.
const STEP_MS: u32 = 1_250;

/// A step this long is no media but another clock: configuration at 0, then frames from hours on.
const JUMP_MS: u32 = 30_000;

/// Ten hours: what rtmpdump asks for, and old servers know.
const EVERYTHING_MS: u32 = 36_000_000;

#[cfg(test)]
mod tests;
