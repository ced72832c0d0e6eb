//! Tracks of the stream that have arrived, and the selection of those that are recorded.

use std::time::{Duration, Instant};

use crate::core::{
    flv::{
        FrameInfo, TrackFilter, TrackId, TrackSet,
        frame_info::{Codec, media_tracks},
    },
    payload::Payload,
};

/// A track that arrived for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTrack {
    /// The track.
    pub track: TrackId,
    /// Codec of its first message.
    pub codec: Codec,
    /// Whether the track is recorded.
    pub is_recorded: bool,
}

/// Tracks that have arrived, and the filter that removes those that the user did not select.
#[derive(Debug)]
pub(super) struct Tracks {
    filter: Option<TrackFilter>,
    arrived: TrackSet,
    /// Time of the first audio or video message.
    started: Option<Instant>,
    has_warned: bool,
}

impl Tracks {
    /// Selects tracks; `None` selects all.
    pub(super) fn new(selected: Option<TrackSet>) -> Self {
        Self {
            filter: selected.map(TrackFilter::new),
            arrived: TrackSet::default(),
            started: None,
            has_warned: false,
        }
    }

    /// Records the tracks of a message, and passes each new one to `report`.
    pub(super) fn record(
        &mut self,
        info: FrameInfo,
        body: &[u8],
        now: Instant,
        mut report: impl FnMut(NewTrack),
    ) {
        let kind = info.track;
        let Some(codec) = info.codec else {
            return;
        };
        self.started.get_or_insert(now);
        let selected = self.filter.as_ref().map(TrackFilter::selected);
        let arrived = &mut self.arrived;
        let mut add = |track, codec| {
            if arrived.insert(track) {
                report(NewTrack {
                    track,
                    codec,
                    is_recorded: selected.is_none_or(|selected| selected.contains(track)),
                });
            }
        };
        if !info.is_multitrack {
            let id = info.track_id;
            return add(TrackId { kind, id }, codec);
        }
        for track in media_tracks(kind, body) {
            let id = track.id();
            add(TrackId { kind, id }, track.codec());
        }
    }

    /// Removes the tracks that are not selected from a message. Returns the facts of the rest, or `None` if
    /// nothing is left.
    pub(super) fn select(&mut self, info: FrameInfo, payload: &mut Payload) -> Option<FrameInfo> {
        match &mut self.filter {
            None => Some(info),
            Some(filter) => filter.apply(info, payload),
        }
    }

    /// Returns the filter for another connection to the same stream.
    pub(super) fn new_filter(&self) -> Self {
        Self::new(self.selected().copied())
    }

    /// Returns the selected tracks; `None` if all are selected.
    pub(super) fn selected(&self) -> Option<&TrackSet> {
        self.filter.as_ref().map(TrackFilter::selected)
    }

    /// Returns the selected tracks that have not arrived.
    pub(super) fn missing(&self) -> Vec<TrackId> {
        let filter = self.filter.as_ref();
        filter.map_or_else(Vec::new, TrackFilter::missing)
    }

    /// Warns once if a selected track has not arrived some time after the first track.
    pub(super) fn check(&mut self, now: Instant) {
        let is_early = self
            .started
            .is_none_or(|started| now.saturating_duration_since(started) < PATIENCE);
        if self.filter.is_some() && !is_early {
            self.warn();
        }
    }

    /// Warns if a selected track has not arrived, unless that was logged before.
    pub(super) fn warn(&mut self) {
        if self.started.is_none() || std::mem::replace(&mut self.has_warned, true) {
            return;
        }
        for track in self.missing() {
            tracing::warn!("the stream has no track {track}, which --tracks selects");
        }
    }
}

/// Time after the first media within which all tracks of a stream are expected.
const PATIENCE: Duration = Duration::from_secs(10);
