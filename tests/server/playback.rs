//! Selects the tags that a player receives and when they are due.

use std::time::{Duration, Instant};

use super::{
    broadcast::PublisherClock,
    clip::{Clip, Tag},
    config::{Pace, SeekTo, Seeking, Source, Stream},
};

/// Playback of one stream for one player.
pub struct Playback<'a> {
    pub stream: &'a Stream,
    /// Tags still to be sent, in reverse order.
    tags: Vec<Tag>,
    first_ms: u32,
    /// Difference between the sent timestamps and those of the clip, modulo 2^32.
    shift_ms: u32,
    /// Clip time at which the buffer of [`Pace::UntilEmpty`] ends.
    buffer_end_ms: Option<u32>,
    /// Media that [`Pace::Refilled`] allows until the next refill.
    allowed: Duration,
    /// Number of refills of [`Pace::Refilled`] so far.
    refills: u32,
    start: Instant,
}

impl<'a> Playback<'a> {
    /// Starts playing `stream` at `start_ms`; a negative value means live or from the start.
    pub fn new(stream: &'a Stream, start_ms: f64) -> Self {
        let mut tags = match &stream.source {
            Source::Recorded(clip) => {
                tags_from_seek(clip, start_ms.max(0.0) as u32, stream.seeking)
            }
            Source::Live {
                clip, joined_ms, ..
            } => tags_from_join(clip, *joined_ms),
            Source::Broadcast(broadcast) if broadcast.has_cache => {
                tags_from_seek(&broadcast.clip, broadcast.position_ms(), stream.seeking)
            }
            Source::Broadcast(broadcast) => {
                tags_from_join(&broadcast.clip, broadcast.position_ms())
            }
            Source::Replay(_) | Source::LiveReplay(_) => Vec::new(),
        };
        if let Source::Live { clock_ms, .. } = &stream.source {
            for tag in &mut tags {
                tag.timestamp_ms = tag.timestamp_ms.wrapping_add(*clock_ms);
            }
        }
        let shift_ms = match &stream.source {
            Source::Broadcast(broadcast) => match broadcast.clock {
                PublisherClock::From(clock_ms) => clock_ms,
                PublisherClock::PerPlayer => {
                    0u32.wrapping_sub(tags.first().map_or(0, |tag| tag.timestamp_ms))
                }
            },
            _ => 0,
        };
        tags.reverse();
        Self {
            stream,
            buffer_end_ms: match stream.pace {
                Pace::UntilEmpty { ms } => Some(start_ms.max(0.0) as u32 + ms),
                _ => None,
            },
            allowed: match stream.pace {
                Pace::Refilled { first_ms, .. } => Duration::from_millis(first_ms.into()),
                _ => Duration::ZERO,
            },
            refills: 0,
            first_ms: match &stream.source {
                Source::Broadcast(_) => 0,
                _ => tags.last().map_or(0, |tag| tag.timestamp_ms),
            },
            tags,
            shift_ms,
            start: match &stream.source {
                Source::Broadcast(broadcast) => broadcast.start(),
                _ => Instant::now(),
            },
        }
    }

    /// Removes and returns the next `count` tags.
    pub fn take(&mut self, count: usize) -> Vec<Tag> {
        let left = self.tags.len().saturating_sub(count);
        let taken = self.tags.drain(left..).rev().map(|mut tag| {
            tag.timestamp_ms = tag.timestamp_ms.wrapping_add(self.shift_ms);
            tag
        });
        taken.collect()
    }

    /// Returns the clip time of a tag returned by [`Self::take`], in milliseconds.
    pub fn clip_time_ms(&self, tag: &Tag) -> u32 {
        tag.timestamp_ms.wrapping_sub(self.shift_ms)
    }

    /// Returns whether the next tag lies after the end of the buffer of [`Pace::UntilEmpty`].
    pub fn has_filled_buffer(&self) -> bool {
        let next_ms = self.tags.last().map(|tag| tag.timestamp_ms);
        next_ms > self.buffer_end_ms.or(next_ms)
    }

    /// Returns the time until the next tag is due for a client with this buffer length, or `None`
    /// after the last tag.
    pub fn wait(&mut self, buffer: Duration) -> Option<Duration> {
        let next = self.tags.last()?;
        let position = next
            .timestamp_ms
            .wrapping_sub(self.first_ms)
            .cast_signed()
            .max(0);
        let position = Duration::from_millis(position.unsigned_abs().into());
        let due = match self.stream.pace {
            Pace::Unbounded | Pace::UntilEmpty { .. } => Duration::ZERO,
            Pace::Buffered => position.saturating_sub(buffer),
            Pace::Speed(speed) => position.div_f64(speed),
            Pace::Refilled { every, .. } => {
                self.refill(every, buffer);
                if position > self.allowed {
                    every * (self.refills + 1)
                } else {
                    Duration::ZERO
                }
            }
        };
        Some(due.saturating_sub(self.start.elapsed()))
    }

    /// Extends the allowed media to the buffer length ahead of real time if a refill is due.
    fn refill(&mut self, every: Duration, buffer: Duration) {
        let elapsed = self.start.elapsed();
        let refills = (elapsed.as_millis() / every.as_millis()) as u32;
        if refills > self.refills {
            self.refills = refills;
            self.allowed = self.allowed.max(elapsed + buffer);
        }
    }
}

/// Returns the sequence headers, then all tags from the keyframe that `seeking` selects for
/// `start_ms`.
fn tags_from_seek(clip: &Clip, start_ms: u32, seeking: Seeking) -> Vec<Tag> {
    let tags: Vec<_> = clip.tags_after_metadata().collect();
    let start = match seeking.to {
        SeekTo::Keyframe(offset) if start_ms > 0 => keyframe_index(&tags, start_ms, offset),
        _ => 0,
    };
    let (before, after) = tags.split_at(start);
    let at_ms = after.first().map_or(0, |tag| tag.timestamp_ms);
    let sequence_headers =
        sequence_headers(before, at_ms).filter(|_| seeking.sends_sequence_headers);
    let mut selected: Vec<_> = sequence_headers
        .chain(after.iter().copied().cloned())
        .collect();
    if seeking.restarts_clock {
        for tag in &mut selected {
            tag.timestamp_ms = tag.timestamp_ms.saturating_sub(at_ms);
        }
    }
    selected
}

/// Returns the index of the keyframe at or before `start_ms`, moved by `offset` keyframes. In an
/// audio-only clip, every audio frame counts as a keyframe.
fn keyframe_index(tags: &[&Tag], start_ms: u32, offset: i32) -> usize {
    let has_video = tags.iter().any(|tag| tag.is_keyframe());
    let is_entry = |tag: &&Tag| tag.is_keyframe() || !has_video && tag.kind == Tag::AUDIO;
    let entries = tags.iter().enumerate().filter(|(_, tag)| is_entry(tag));
    let entries: Vec<_> = entries
        .map(|(index, tag)| (index, tag.timestamp_ms))
        .collect();
    let requested = entries.iter().rposition(|(_, at_ms)| *at_ms <= start_ms);
    let selected = requested
        .unwrap_or(0)
        .saturating_add_signed(offset as isize);
    entries
        .get(selected)
        .map_or(tags.len(), |(index, _)| *index)
}

/// Returns the sequence headers, then audio from `joined_ms` on and video from the next keyframe
/// on.
fn tags_from_join(clip: &Clip, joined_ms: u32) -> Vec<Tag> {
    let tags: Vec<_> = clip.tags_after_metadata().collect();
    let start = tags.partition_point(|tag| tag.timestamp_ms < joined_ms);
    let (before, after) = tags.split_at(start);
    let mut has_keyframe = false;
    let after = after.iter().copied().filter(|tag| {
        has_keyframe |= tag.is_keyframe();
        tag.kind != Tag::VIDEO || has_keyframe || tag.is_sequence_header()
    });
    sequence_headers(before, joined_ms)
        .chain(after.cloned())
        .collect()
}

fn sequence_headers(tags: &[&Tag], timestamp_ms: u32) -> impl Iterator<Item = Tag> {
    let tags = tags.iter().filter(|tag| tag.is_sequence_header());
    tags.map(move |tag| Tag {
        timestamp_ms,
        ..(*tag).clone()
    })
}
