//! What the connections under a tunnel turn out to bear.

use super::polling::MAX_UNDER_WAY;

/// How many requests are sent ahead of their answers, and how many over one connection.
///
/// A connection that closes while requests are under way does so either after a number of answers,
/// which the next ones are then held to, or because it does not like requests ahead of their answers.
/// A guess of the first kind that is proved wrong twice speaks for the second.
#[derive(Debug)]
pub(super) struct Manners {
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

impl Manners {
    pub(super) fn new() -> Self {
        Self {
            depth: MAX_UNDER_WAY,
            limit: None,
            wrong_limits: 0,
            answered: 0,
            is_ahead: false,
        }
    }

    /// Whether one more request can go out, where so many are under way.
    pub(super) fn has_room(&self, under_way: usize) -> bool {
        let expected = self.answered + under_way as u64;
        under_way == 0 || under_way < self.depth && self.limit.is_none_or(|limit| expected < limit)
    }

    /// A request has gone out, behind so many others.
    pub(super) fn sent(&mut self, under_way: usize) {
        self.is_ahead |= under_way > 0;
    }

    /// An answer has come, and so many requests are still under way.
    pub(super) fn answered(&mut self, under_way: usize) {
        self.answered += 1;
        self.is_ahead &= under_way > 0;
        if self.limit.is_some_and(|limit| self.answered > limit) {
            self.guessed_wrong();
        }
    }

    /// Whether the present connection is expected to close now.
    pub(super) fn is_worn(&self) -> bool {
        self.limit.is_some_and(|limit| self.answered >= limit)
    }

    /// The server does not like requests ahead of their answers.
    pub(super) fn objected(&mut self) {
        if self.depth > 1 {
            tracing::debug!("the server wants one request at a time");
        }
        self.depth = 1;
    }

    /// The connection is no more, and so many requests have no answer.
    pub(super) fn closed(&mut self, unanswered: usize, is_announced: bool) {
        if is_announced || unanswered > 0 && self.is_ahead {
            if self.limit.is_some_and(|limit| self.answered < limit) {
                self.guessed_wrong();
            }
            self.limit = Some(self.answered.max(1));
        }
        self.answered = 0;
        self.is_ahead = false;
    }

    fn guessed_wrong(&mut self) {
        self.limit = None;
        self.wrong_limits += 1;
        if self.wrong_limits == MAX_WRONG_LIMITS {
            self.objected();
        }
    }
}

/// How often a guess may be wrong: a server may have had another reason to close once.
const MAX_WRONG_LIMITS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many as there is room for.
    fn fill(manners: &mut Manners, under_way: &mut usize) -> usize {
        while manners.has_room(*under_way) && *under_way < 9 {
            manners.sent(*under_way);
            *under_way += 1;
        }
        *under_way
    }

    fn answer(manners: &mut Manners, under_way: &mut usize) {
        *under_way -= 1;
        manners.answered(*under_way);
    }

    #[test]
    fn a_limit_is_met_once_and_kept_from_then_on() {
        let mut manners = Manners::new();
        let mut under_way = 0;
        for _ in 0..10 {
            fill(&mut manners, &mut under_way);
            answer(&mut manners, &mut under_way);
        }
        assert_eq!(under_way, 3);
        manners.closed(3, false);
        under_way = 0;
        for answered in 0..10 {
            let expected = 4.min(10 - answered);
            assert_eq!(fill(&mut manners, &mut under_way), expected);
            answer(&mut manners, &mut under_way);
        }
        assert_eq!(under_way, 0, "nothing is lost this time");
        manners.closed(0, true);
        assert_eq!(fill(&mut manners, &mut under_way), 4);
    }

    #[test]
    fn a_server_that_closes_on_what_comes_ahead_gets_one_at_a_time() {
        let mut manners = Manners::new();
        let mut under_way = 0;
        let mut lost = 0;
        for _ in 0..20 {
            if fill(&mut manners, &mut under_way) > 1 {
                answer(&mut manners, &mut under_way);
                manners.closed(under_way, false);
                lost += 1;
                under_way = 0;
            } else {
                answer(&mut manners, &mut under_way);
            }
        }
        assert_eq!(lost, 3);
        assert_eq!(fill(&mut manners, &mut under_way), 1);
    }

    #[test]
    fn a_connection_that_closes_for_want_of_use_teaches_nothing() {
        let mut manners = Manners::new();
        let mut under_way = 0;
        manners.sent(0);
        manners.answered(0);
        manners.closed(0, false);
        assert_eq!(fill(&mut manners, &mut under_way), 4);
    }
}
