//! Returns from a fallback to the first source, after both have played at the same time for a while.
//!
//! The move has the phases of the parent module and two more:
//!
//! ```text
//! Idle ── probe is due ──▶ Dialing ──▶ Proving ── has played long enough ──▶ Seeking ── no match ──▶ Keyframe
//! ```
//!
//! - *Proving* discards the frames of the first source, and measures how long it has played without a pause.
//! - *Keyframe* waits for the next keyframe of the first source, which then replaces the fallback: two encoders of
//!   one event have no frame in common.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Advance, Phase,
    matching::Backlog,
    new_connection::{NewConnection, Received, Step, dial},
    plan::Plan,
};
use crate::{
    core::{
        flv::TagKind, rejoin::matcher::Arrival, rtmp::client::config::Config,
        rtmp::command::ReconnectRequest,
    },
    download::{
        SourceSwitch,
        pump::{Pump, StreamSource},
        sources::Sources,
    },
    transport::Route,
};

/// The first source while a fallback is in use.
#[derive(Debug)]
pub(in crate::download) struct FirstSource {
    route: Route,
    session: Arc<Config>,
    return_after: Duration,
    probe_at: Instant,
}

/// How long the first source has played.
#[derive(Debug)]
pub(super) struct Proof {
    /// Arrival of the first frame after the latest pause, and of the latest frame.
    frames: Option<(Instant, Instant)>,
    has_video: bool,
    /// The latest sequence headers.
    headers: Vec<Arrival>,
}

impl FirstSource {
    fn new(route: Route, session: Arc<Config>, return_after: Duration, now: Instant) -> Self {
        let mut source = Self {
            route,
            session,
            return_after,
            probe_at: now,
        };
        source.probe_later(now);
        source
    }

    fn probe_later(&mut self, now: Instant) {
        let pause = self
            .return_after
            .clamp(SHORTEST_PROBE_INTERVAL, PROBE_INTERVAL);
        self.probe_at = now.checked_add(pause).unwrap_or(now);
    }

    pub(super) fn return_after(&self) -> Duration {
        self.return_after
    }

    /// Time of the next probe, unless that has passed: then media of the fallback starts it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.probe_at).filter(|at| *at > Instant::now())
    }

    fn plan(&self, now: Instant) -> Plan {
        let request = ReconnectRequest {
            tc_url: None,
            description: RETURN_REASON.to_owned(),
        };
        let until = now.checked_add(PROBE_LIMIT).unwrap_or(now);
        Plan::to_first_source(
            request,
            self.route.clone(),
            self.session.clone(),
            now,
            until,
        )
    }
}

impl Proof {
    pub(super) fn new() -> Self {
        Self {
            frames: None,
            has_video: false,
            headers: Vec::new(),
        }
    }

    /// Time at which the first source has played for `return_after`.
    pub(super) fn complete_at(&self, return_after: Duration) -> Option<Instant> {
        self.frames?.0.checked_add(return_after)
    }

    /// Whether the latest frame is too old for a source that plays.
    fn has_paused(&self, now: Instant) -> bool {
        let paused = |(_, latest)| now.saturating_duration_since(latest) > LONGEST_PAUSE;
        self.frames.is_some_and(paused)
    }

    /// Notes a message. Returns it unless it is kept.
    fn note(&mut self, now: Instant, arrival: Arrival) -> Option<Arrival> {
        if arrival.info.carries_media {
            self.has_video |= arrival.info.track == TagKind::VIDEO;
            let since = self.frames.filter(|_| !self.has_paused(now));
            self.frames = Some((since.map_or(now, |(since, _)| since), now));
        } else if arrival.info.is_sequence_header {
            self.headers
                .retain(|header| header.info.track != arrival.info.track);
            self.headers.push(arrival);
            return None;
        }
        Some(arrival)
    }
}

impl Pump<'_> {
    /// Switches to the current source of `sources`. The switch is reported with its gap once the first frame is
    /// written. While a fallback is in use, the pump probes the first source.
    pub(in crate::download) fn take_over(&mut self, sources: &Sources<'_>, reason: &str) {
        let now = Instant::now();
        self.forget_relocation();
        let first = sources.first_to_watch();
        self.handover.first_source = first.map(|(route, session, return_after)| {
            Box::new(FirstSource::new(route, session, return_after, now))
        });
        let endpoint = sources.route().endpoint.clone();
        let number = sources.number();
        tracing::debug!("source {number} at {endpoint} takes over: {reason}");
        self.note_source_switch(SourceSwitch {
            number,
            endpoint,
            reason: reason.to_owned(),
            gap_ms: None,
        });
    }

    pub(super) fn note_source_switch(&mut self, switch: SourceSwitch) {
        self.source_switch = Some(switch);
    }

    /// Starts a connection to the first source if one is due.
    pub(super) fn probe_first_source(
        &self,
        now: Instant,
        source: &StreamSource<'_>,
    ) -> Option<Phase> {
        let first = self.handover.first_source.as_ref()?;
        (now >= first.probe_at && self.can_hand_over()).then(|| dial(first.plan(now), source))
    }

    /// Schedules the next probe after one that failed.
    pub(super) fn first_source_failed(&mut self, now: Instant, reason: &str) {
        tracing::debug!("no return to the first source yet: {reason}");
        if let Some(first) = &mut self.handover.first_source {
            first.probe_later(now);
        }
    }

    /// Discards the frames of the first source until it has played long enough.
    pub(super) fn prove(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        mut proof: Proof,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        let mut unused = Vec::new();
        let received = new.receive(now, &mut |arrival| {
            unused.extend(proof.note(now, arrival));
            false
        })?;
        for arrival in unused {
            new.recycle(arrival.payload);
        }
        new.check_step(step)?;
        if let Received::Login(_) | Received::Redirect(_) = received {
            return Ok(Advance::To(new.plan.follow(received, source)?));
        }
        let first = self.handover.first_source.as_ref();
        let first = first.ok_or("it is in use")?;
        if proof.has_paused(now) {
            proof.frames = None;
            new.plan.until = now.checked_add(PROBE_LIMIT).unwrap_or(now);
        }
        if proof.frames.is_none() && now >= new.plan.until {
            return Err("it sends no media".to_owned());
        }
        let complete_at = proof.complete_at(first.return_after);
        if complete_at.is_none_or(|at| at > now) {
            return Ok(Advance::To(Phase::Proving(new, proof)));
        }
        new.plan.until = now.checked_add(SEARCH_LIMIT).unwrap_or(now);
        new.has_video = proof.has_video;
        new.headers = clone_all(&proof.headers);
        let backlog = Backlog::new(proof.headers, now);
        Ok(Advance::To(Phase::Seeking(new, backlog)))
    }

    /// Waits for a frame of the first source at which a decoder can start.
    pub(super) fn await_keyframe(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        step: Option<Step>,
    ) -> Result<Advance, String> {
        let mut found = None;
        let mut unused = Vec::new();
        let has_video = new.has_video;
        new.receive(now, &mut |arrival| {
            let is_entry = if has_video {
                arrival.info.is_keyframe
            } else {
                arrival.info.carries_media
            };
            if is_entry {
                found = Some(arrival);
            } else {
                unused.push(arrival);
            }
            is_entry
        })?;
        for arrival in unused {
            new.recycle(arrival.payload);
        }
        new.check_step(step)?;
        let Some(keyframe) = found else {
            return Ok(Advance::To(Phase::Keyframe(new)));
        };
        let mut arrivals = std::mem::take(&mut new.headers);
        for header in &mut arrivals {
            header.timestamp = keyframe.timestamp;
            header.at = keyframe.at;
        }
        arrivals.push(keyframe);
        Ok(Advance::Replace(new, arrivals))
    }
}

fn clone_all(arrivals: &[Arrival]) -> Vec<Arrival> {
    let copy = |arrival: &Arrival| Arrival {
        at: arrival.at,
        info: arrival.info,
        timestamp: arrival.timestamp,
        payload: arrival.payload.clone(),
    };
    arrivals.iter().map(copy).collect()
}

/// Why the recording returns to the first source.
pub(super) const RETURN_REASON: &str = "the first source plays again";

/// Shortest time between two connections to the first source.
const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time between two connections to the first source.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Time from the first dialing step to the first frame.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// Longest pause between two frames of a source that plays.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Time to find a common frame of both sources.
const SEARCH_LIMIT: Duration = Duration::from_secs(3);
