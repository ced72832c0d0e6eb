//! What the connections under a tunnel turn out to bear.

use super::polling::MAX_IN_FLIGHT;

/// How many requests are sent ahead of their answers, and how many over one connection.
///
/// A connection that closes while requests are under way does so either after a number of answers,
/// which the next ones are then held to, or because it does not like requests ahead of their answers.
/// A guess of the first kind that is proved wrong twice speaks for the second.
#[derive(Debug)]
pub(super) struct Pipelining {
    /// How many requests may be under way.
    depth: usize,
    /// How many answers a connection is expected to give.
    limit: Option<u64>,
    wrong_limits: u32,
    /// How many answers the present connection has given.
    answered: u64,
    /// Whether requests were sent ahead of answers since nothing was under way.
    is_ahead: bool,
}

impl Pipelining {
    pub(super) fn new() -> Self {
        Self {
            depth: MAX_IN_FLIGHT,
            limit: None,
            wrong_limits: 0,
            answered: 0,
            is_ahead: false,
        }
    }

    /// Whether one more request can go out, where so many are under way.
    pub(super) fn may_send(&self, in_flight: usize) -> bool {
        let expected = self.answered + in_flight as u64;
        in_flight == 0 || in_flight < self.depth && self.limit.is_none_or(|limit| expected < limit)
    }

    /// A request has gone out, behind so many others.
    pub(super) fn sent(&mut self, in_flight: usize) {
        self.is_ahead |= in_flight > 0;
    }

    /// An answer has come, and so many requests are still under way.
    pub(super) fn answered(&mut self, in_flight: usize) {
        self.answered += 1;
        self.is_ahead &= in_flight > 0;
        if self.limit.is_some_and(|limit| self.answered > limit) {
            self.limit_was_wrong();
        }
    }

    /// Whether the present connection is expected to close now.
    pub(super) fn is_exhausted(&self) -> bool {
        self.limit.is_some_and(|limit| self.answered >= limit)
    }

    /// The server does not like requests ahead of their answers.
    pub(super) fn disable(&mut self) {
        if self.depth > 1 {
            tracing::debug!("the server wants one request at a time");
        }
        self.depth = 1;
    }

    /// The connection is no more, and so many requests have no answer.
    pub(super) fn closed(&mut self, unanswered: usize, is_announced: bool) {
        if is_announced || unanswered > 0 && self.is_ahead {
            if self.limit.is_some_and(|limit| self.answered < limit) {
                self.limit_was_wrong();
            }
            self.limit = Some(self.answered.max(1));
        }
        self.answered = 0;
        self.is_ahead = false;
    }

    fn limit_was_wrong(&mut self) {
        self.limit = None;
        self.wrong_limits += 1;
        if self.wrong_limits == MAX_WRONG_LIMITS {
            self.disable();
        }
    }
}

/// How often a guess may be wrong: a server may have had another reason to close once.
const MAX_WRONG_LIMITS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many as there is room for.
    fn fill(pipelining: &mut Pipelining, in_flight: &mut usize) -> usize {
        while pipelining.may_send(*in_flight) && *in_flight < 9 {
            pipelining.sent(*in_flight);
            *in_flight += 1;
        }
        *in_flight
    }

    fn answer(pipelining: &mut Pipelining, in_flight: &mut usize) {
        *in_flight -= 1;
        pipelining.answered(*in_flight);
    }

    #[test]
    fn a_limit_is_met_once_and_kept_from_then_on() {
        let mut pipelining = Pipelining::new();
        let mut in_flight = 0;
        for _ in 0..10 {
            fill(&mut pipelining, &mut in_flight);
            answer(&mut pipelining, &mut in_flight);
        }
        assert_eq!(in_flight, 3);
        pipelining.closed(3, false);
        in_flight = 0;
        for answered in 0..10 {
            let expected = 4.min(10 - answered);
            assert_eq!(fill(&mut pipelining, &mut in_flight), expected);
            answer(&mut pipelining, &mut in_flight);
        }
        assert_eq!(in_flight, 0, "nothing is lost this time");
        pipelining.closed(0, true);
        assert_eq!(fill(&mut pipelining, &mut in_flight), 4);
    }

    #[test]
    fn a_server_that_closes_on_what_comes_ahead_gets_one_at_a_time() {
        let mut pipelining = Pipelining::new();
        let mut in_flight = 0;
        let mut lost = 0;
        for _ in 0..20 {
            if fill(&mut pipelining, &mut in_flight) > 1 {
                answer(&mut pipelining, &mut in_flight);
                pipelining.closed(in_flight, false);
                lost += 1;
                in_flight = 0;
            } else {
                answer(&mut pipelining, &mut in_flight);
            }
        }
        assert_eq!(lost, 3);
        assert_eq!(fill(&mut pipelining, &mut in_flight), 1);
    }

    #[test]
    fn a_connection_that_closes_for_want_of_use_teaches_nothing() {
        let mut pipelining = Pipelining::new();
        let mut in_flight = 0;
        pipelining.sent(0);
        pipelining.answered(0);
        pipelining.closed(0, false);
        assert_eq!(fill(&mut pipelining, &mut in_flight), 4);
    }
}
