//! Comparison of the new connection with the recording.

use std::time::{Duration, Instant};

use super::{
    Advance, Phase,
    new_connection::{NewConnection, Received, Step},
};
use crate::{
    core::rejoin::matcher::{Arrival, Matcher, Verdict},
    download::pump::{Pump, StreamSource},
};

/// Messages of the new connection that were not recognized.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) arrivals: Vec<Arrival>,
    bytes: usize,
    /// Time of the next comparison with the recording.
    next_search: Instant,
}

/// A comparison with the end of the recording.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) matcher: Box<Matcher>,
    pub(super) until: Instant,
}

impl Pump<'_> {
    /// Collects messages of the new connection, and compares them with the recording at intervals.
    pub(super) fn seek(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        mut backlog: Backlog,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        let received = new.receive(now, &mut |arrival| {
            backlog.push(arrival);
            false
        })?;
        new.check_step(step)?;
        if let Received::Login(_) | Received::Redirect(_) = received {
            return Ok(Advance::To(new.plan.follow(received, source)?));
        }
        if backlog.bytes > MAX_BACKLOG_BYTES {
            return Err("it sends frames of another time, or another stream".to_owned());
        }
        if now >= new.plan.until {
            if new.plan.is_return {
                for arrival in backlog.arrivals {
                    new.client.recycle(arrival.payload);
                }
                return Ok(Advance::To(Phase::Keyframe(new)));
            }
            if self.is_silent_since(new.first_frame) {
                return Ok(Advance::Replace(new, backlog.arrivals));
            }
            return Err(NO_MATCH.to_owned());
        }
        let history = self.history.as_ref().filter(|_| self.rejoin.is_none());
        let Some(history) = history.filter(|_| backlog.bytes > 0 && now >= backlog.next_search)
        else {
            return Ok(Advance::To(Phase::Seeking(new, backlog)));
        };
        let mut matcher = history.recording.second_connection_matcher();
        let mut arrivals = backlog.arrivals.into_iter();
        while let Some(arrival) = arrivals.next() {
            match matcher.offer(arrival) {
                Verdict::Matched(match_point) => {
                    return Ok(Advance::Match(new, match_point, arrivals.collect()));
                }
                Verdict::NoMatch => {
                    // The old connection continues, so that a later comparison finds more frames.
                    let arrivals = matcher.into_held().chain(arrivals).collect();
                    return Ok(Advance::To(Phase::Seeking(
                        new,
                        Backlog::new(arrivals, now),
                    )));
                }
                Verdict::Undecided | Verdict::AlreadyWritten(_) => {}
            }
        }
        Ok(Advance::To(if matcher.is_running() {
            Phase::Joining(new, Join::new(matcher, now))
        } else {
            Phase::Seeking(new, Backlog::new(matcher.into_held().collect(), now))
        }))
    }

    /// Compares the messages of the new connection with the end of the recording.
    pub(super) fn join_end(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        mut join: Join,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        let mut verdict = Verdict::Undecided;
        let received = new.receive(now, &mut |arrival| {
            verdict = join.matcher.offer(arrival);
            matches!(verdict, Verdict::Matched(_) | Verdict::NoMatch)
        })?;
        match verdict {
            Verdict::Matched(match_point) => {
                return Ok(Advance::Match(new, match_point, Vec::new()));
            }
            Verdict::NoMatch => {
                let backlog = Backlog::new(join.matcher.into_held().collect(), now);
                return self.seek(now, new, backlog, step, source);
            }
            Verdict::Undecided | Verdict::AlreadyWritten(_) => {}
        }
        new.check_step(step)?;
        if let Received::Login(_) | Received::Redirect(_) = received {
            return Ok(Advance::To(new.plan.follow(received, source)?));
        }
        if now >= join.until {
            return Err(NO_MATCH.to_owned());
        }
        Ok(Advance::To(Phase::Joining(new, join)))
    }

    /// Whether the old connection has sent no frame since the new one sent its first.
    pub(super) fn is_silent_since(&self, first_frame: Option<Instant>) -> bool {
        let latest = self.history.as_ref().and_then(|history| history.latest);
        let latest = latest.map(|(at, _)| at);
        first_frame.is_some_and(|first| latest.is_none_or(|latest| latest < first))
    }
}

impl Join {
    pub(super) fn new(matcher: Matcher, now: Instant) -> Self {
        Self {
            matcher: Box::new(matcher),
            until: now.checked_add(JOIN_LIMIT).unwrap_or(now),
        }
    }
}

impl Backlog {
    pub(super) fn new(arrivals: Vec<Arrival>, now: Instant) -> Self {
        let bytes = arrivals.iter().map(size).sum();
        // The first comparison follows the first message.
        let pause = if arrivals.is_empty() {
            Duration::ZERO
        } else {
            SEARCH_INTERVAL
        };
        Self {
            arrivals,
            bytes,
            next_search: now.checked_add(pause).unwrap_or(now),
        }
    }

    fn push(&mut self, arrival: Arrival) {
        self.bytes = self.bytes.saturating_add(size(&arrival));
        self.arrivals.push(arrival);
    }
}

/// Memory of a message, including the fields around its payload.
fn size(arrival: &Arrival) -> usize {
    arrival
        .payload
        .capacity()
        .saturating_add(size_of::<Arrival>())
}

const NO_MATCH: &str = "its stream does not continue the recording";

/// Time between two comparisons with the recording.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// Largest memory of the messages that were not recognized: ten seconds of a stream of 12 Mbit/s.
const MAX_BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// Longest time for which the old connection is not read.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
