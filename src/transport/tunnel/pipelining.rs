//! HTTP pipelining, adapted to the server.

use super::polling::MAX_IN_FLIGHT;

/// Limits for the requests of a connection, learned from the connections before it.
///
/// A connection that closes with pipelined requests in flight has one of two causes. Either the server
/// gives a fixed number of responses per connection, which is then the limit for later connections, or
/// it does not support pipelining. The first cause is assumed until its limit was wrong twice.
#[derive(Debug)]
pub(super) struct Pipelining {
    /// Largest number of requests in flight.
    max_in_flight: usize,
    /// Expected number of responses per connection.
    response_limit: Option<u64>,
    wrong_limits: u32,
    /// Number of responses over the current connection.
    responses: u64,
    /// Whether requests were pipelined since the connection was last idle.
    has_pipelined: bool,
}

impl Pipelining {
    pub(super) fn new() -> Self {
        Self {
            max_in_flight: MAX_IN_FLIGHT,
            response_limit: None,
            wrong_limits: 0,
            responses: 0,
            has_pipelined: false,
        }
    }

    /// Returns whether another request may be sent while `in_flight` are unanswered.
    pub(super) fn may_send(&self, in_flight: usize) -> bool {
        let expected = self.responses.saturating_add(in_flight as u64);
        let is_within_limit = self.response_limit.is_none_or(|limit| expected < limit);
        in_flight == 0 || in_flight < self.max_in_flight && is_within_limit
    }

    /// Counts a request that was sent after `in_flight` unanswered ones.
    pub(super) fn sent(&mut self, in_flight: usize) {
        self.has_pipelined |= in_flight > 0;
    }

    /// Counts a response after which `in_flight` requests are unanswered.
    pub(super) fn answered(&mut self, in_flight: usize) {
        self.responses = self.responses.saturating_add(1);
        self.has_pipelined &= in_flight > 0;
        if self
            .response_limit
            .is_some_and(|limit| self.responses > limit)
        {
            self.limit_was_wrong();
        }
    }

    /// Returns whether the server is expected to close the connection now.
    pub(super) fn is_exhausted(&self) -> bool {
        self.response_limit
            .is_some_and(|limit| self.responses >= limit)
    }

    /// Allows only one request in flight.
    pub(super) fn disable(&mut self) {
        if self.max_in_flight > 1 {
            tracing::debug!(
                "the server does not support pipelining, sending one request at a time"
            );
        }
        self.max_in_flight = 1;
    }

    /// Learns from a closed connection with `unanswered` requests.
    pub(super) fn closed(&mut self, unanswered: usize, is_announced: bool) {
        // An idle connection may close at any time, so its number of responses means nothing.
        if is_announced || unanswered > 0 && self.has_pipelined {
            if self
                .response_limit
                .is_some_and(|limit| self.responses < limit)
            {
                self.limit_was_wrong();
            }
            // With a limit of 0, every new connection would be exhausted.
            self.response_limit = Some(self.responses.max(1));
        }
        self.responses = 0;
        self.has_pipelined = false;
    }

    fn limit_was_wrong(&mut self) {
        self.response_limit = None;
        self.wrong_limits = self.wrong_limits.saturating_add(1);
        if self.wrong_limits == MAX_WRONG_LIMITS {
            self.disable();
        }
    }
}

/// Number of wrong limits before pipelining is disabled. The first may have had another cause.
const MAX_WRONG_LIMITS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many requests as allowed, at most 9.
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
    fn a_limit_is_learned_from_one_connection() {
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
        assert_eq!(in_flight, 0, "no request is lost the second time");
        pipelining.closed(0, true);
        assert_eq!(fill(&mut pipelining, &mut in_flight), 4);
    }

    #[test]
    fn closing_on_pipelined_requests_disables_pipelining() {
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
    fn an_idle_connection_that_closes_sets_no_limit() {
        let mut pipelining = Pipelining::new();
        let mut in_flight = 0;
        pipelining.sent(0);
        pipelining.answered(0);
        pipelining.closed(0, false);
        assert_eq!(fill(&mut pipelining, &mut in_flight), 4);
    }
}
