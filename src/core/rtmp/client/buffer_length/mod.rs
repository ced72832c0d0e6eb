//! The buffer length that the client announces.
//!
//! A server sends a recorded stream up to the buffer length ahead of real time, counted from the
//! first media. A player that announces hours, as other clients do, loses data on nginx-rtmp: the
//! server silently drops messages that exceed its queue of 256. An announcement a few seconds ahead of
//! the received media, repeated as media arrives, gets the complete stream at the same speed.
//! An announcement that arrives while a server closes its socket turns the close into a reset, which
//! can discard the last messages. A server that does not use up the announced media therefore gets
//! fewer announcements.
//!
//! Two kinds of servers ignore small steps. One sends in real time regardless; it gets the largest
//! buffer length. Another sends several seconds at once and reads the buffer length again only when a
//! player would have played most of them. If such a burst is followed by a second of silence, the
//! client announces minutes.

use std::time::{Duration, Instant};

use super::config::BufferLength;
use crate::core::rtmp::message::Timestamp;

/// Chooses the buffer length to announce from the media that has arrived.
#[derive(Debug)]
pub(super) struct BufferLengthControl {
    policy: Policy,
    first: Option<(Timestamp, Instant)>,
    /// Progress at the last two steps, the older one first.
    steps: [Option<Progress>; 2],
    /// The last announcement. A shorter one would make a server pause that has already sent more.
    announced_ms: u32,
    /// Progress at the last frame, if the silence after it may need a longer buffer length.
    latest: Option<Progress>,
}

/// How much media had arrived at a time.
#[derive(Debug, Clone, Copy)]
struct Progress {
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
        let policy = match buffer {
            BufferLength::Fixed { ms } => Policy::Once { ms },
            BufferLength::Growing if is_live => Policy::Once { ms: AHEAD_MS },
            BufferLength::Growing => Policy::Growing,
        };
        Self {
            policy,
            first: None,
            steps: [None; 2],
            announced_ms: AHEAD_MS,
            latest: None,
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
        let now = Progress {
            arrived_ms,
            at: now,
        };
        let [before_last, last] = self.steps;
        // The announcement sent with `play` covers the first step.
        let Some(last) = last else {
            self.steps = [None, Some(now)];
            return None;
        };
        let progress_ms = arrived_ms.saturating_sub(last.arrived_ms);
        if progress_ms > JUMP_MS {
            // Move the origin, so that the jump does not count as received media.
            let first = timestamp.wrapping_add(last.arrived_ms.wrapping_neg());
            self.first = Some((first, started_at));
            return None;
        }
        self.latest = Some(now);
        if progress_ms < STEP_MS {
            return None;
        }
        self.steps = [Some(last), Some(now)];
        // The first buffer arrives at once from every server, so only the pace after the first step
        // shows the effect of the announcements.
        if before_last.is_some_and(|before_last| is_real_time(before_last, now)) {
            self.policy = Policy::Once { ms: EVERYTHING_MS };
            return Some(Announcement {
                ms: EVERYTHING_MS,
                gave_up_growing: true,
            });
        }
        let buffered_ms = self.buffered_ms(now);
        if self.announced_ms.saturating_sub(buffered_ms) > ENOUGH_AHEAD_MS {
            return None;
        }
        let ms = buffered_ms.saturating_add(AHEAD_MS);
        Some(Announcement {
            ms: self.grow_to(ms)?,
            gave_up_growing: false,
        })
    }

    /// Returns the time at which to call [`BufferLengthControl::lengthen`]: a second after a burst.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let latest = self.latest.filter(|_| self.policy == Policy::Growing)?;
        let is_burst = self.buffered_ms(latest) >= BURST_MS;
        latest.at.checked_add(SILENCE).filter(|_| is_burst)
    }

    /// Returns a buffer length of minutes, to be announced to a server that is silent after a burst.
    pub(super) fn lengthen(&mut self, now: Instant) -> Option<u32> {
        let latest = self.latest.take()?;
        let buffered_ms = self.buffered_ms(Progress { at: now, ..latest });
        self.grow_to(buffered_ms.saturating_add(MINUTES_AHEAD_MS))
    }

    /// Returns the media that a player still holds if it has played since the first media arrived, in
    /// milliseconds.
    fn buffered_ms(&self, progress: Progress) -> u32 {
        let playing = self
            .first
            .map(|(_, started_at)| progress.at.saturating_duration_since(started_at));
        let played_ms = playing.unwrap_or_default().as_millis();
        let played_ms = u32::try_from(played_ms).unwrap_or(u32::MAX);
        progress.arrived_ms.saturating_sub(played_ms)
    }

    /// Returns `ms` unless a longer buffer length was announced.
    fn grow_to(&mut self, ms: u32) -> Option<u32> {
        if ms < self.announced_ms {
            return None;
        }
        self.announced_ms = ms;
        Some(ms)
    }
}

/// Returns true if media arrived at play speed ±10 %: the server follows its clock and ignores the
/// announcements. Media that arrives more slowly indicates a slow connection, where a larger buffer
/// length would only fill queues.
fn is_real_time(from: Progress, to: Progress) -> bool {
    let media_ms = u128::from(to.arrived_ms.saturating_sub(from.arrived_ms));
    let elapsed_ms = to.at.saturating_duration_since(from.at).as_millis();
    let tenth_ms = media_ms / 10;
    (media_ms.saturating_sub(tenth_ms)..=media_ms.saturating_add(tenth_ms)).contains(&elapsed_ms)
}

/// Margin ahead of the received media: about 220 audio and video messages, which fit the 256
/// messages of nginx-rtmp.
const AHEAD_MS: u32 = 3_000;

/// Margin that makes another announcement unnecessary. A server that sends as fast as it may uses up
/// more than this in one step.
const ENOUGH_AHEAD_MS: u32 = 2_000;

/// Received media between two checks of the margin and the pace.
const STEP_MS: u32 = 1_250;

/// A step larger than this is a clock change, for example sequence headers at 0 before frames at
/// hours.
const JUMP_MS: u32 = 30_000;

/// Media ahead of real time that counts as a burst.
const BURST_MS: u32 = 2_000;

/// Silence after a burst before a longer buffer length is announced.
const SILENCE: Duration = Duration::from_secs(1);

/// Margin announced to a server that is silent after a burst. Servers of this kind sent a complete file
/// for it; with hours, one of them lost what its queue of 2 MB did not hold.
const MINUTES_AHEAD_MS: u32 = 300_000;

/// Ten hours, the value that rtmpdump announces and that old servers expect.
const EVERYTHING_MS: u32 = 36_000_000;

#[cfg(test)]
mod tests;
