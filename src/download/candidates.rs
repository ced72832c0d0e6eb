//! The candidates on a server that may have the stream, where its URL does not say which it is.

use std::collections::VecDeque;

use super::{Candidate, outcome::EndCause};
use crate::core::rtmp::client::{End, config::Config};

/// The candidates that are left, and what is known of the others.
#[derive(Debug)]
pub(super) struct Candidates {
    left: VecDeque<Candidate>,
    tried: Vec<String>,
}

impl Candidates {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Self {
            left: candidates.iter().cloned().collect(),
            tried: Vec::new(),
        }
    }

    /// The session at the next candidate, where there is one, told as it is tried.
    pub(super) fn next(&mut self, session: &Config) -> Option<Config> {
        let candidate = self.left.pop_front()?;
        if self.tried.is_empty() {
            self.tried.push(described(session));
        }
        let mut session = session.clone();
        if session.subscribe.as_ref() == Some(&session.playpath) {
            session.subscribe = Some(candidate.playpath.clone());
        }
        session.connect.app = candidate.app;
        session.connect.tc_url = candidate.tc_url;
        session.playpath = candidate.playpath;
        let name = described(&session);
        if let Some(before) = self.tried.last() {
            tracing::info!("the server does not know {before}, trying {name}");
        }
        self.tried.push(name);
        Some(session)
    }

    /// Nothing else is tried any more.
    pub(super) fn clear(&mut self) {
        self.left.clear();
    }

    /// `reason`, and what was tried before it came to that.
    pub(super) fn describe_tried(&self, reason: String) -> String {
        match self.tried.as_slice() {
            [] => reason,
            tried => format!("{reason} (tried {})", tried.join(", ")),
        }
    }
}

fn described(session: &Config) -> String {
    format!("{:?} in app {:?}", session.playpath, session.connect.app)
}

/// Whether the server says that it has no such app or no such stream. A server that hangs up says
/// that too, `is_prompt` if it did so at once: some know no other way.
pub(super) fn suggests_other_candidate(cause: &EndCause, is_prompt: bool) -> bool {
    match cause {
        EndCause::Session(End::NotFound(_)) => true,
        EndCause::Session(End::Refused(reason)) => reason.starts_with(INVALID_APP),
        cause if cause.is_disconnect() => is_prompt,
        _ => false,
    }
}

/// What Flash Media Server calls it.
const INVALID_APP: &str = "NetConnection.Connect.InvalidApp";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::rtmp::client::Timeout, download::tests::session};

    fn candidate(app: &str, playpath: &str) -> Candidate {
        Candidate {
            app: app.into(),
            playpath: playpath.into(),
            tc_url: format!("rtmp://h/{app}"),
        }
    }

    #[test]
    fn names_all_that_was_tried() {
        let mut candidates = Candidates::new(&[candidate("a/b/c", "d"), candidate("a", "b/c/d")]);
        assert_eq!(candidates.describe_tried("gone".into()), "gone");
        let first = Config {
            subscribe: Some("stream".into()),
            ..session()
        };
        let second = candidates.next(&first).unwrap();
        assert_eq!(second.connect.app, "a/b/c");
        assert_eq!(second.connect.tc_url, "rtmp://h/a/b/c");
        assert_eq!(second.playpath, "d");
        assert_eq!(second.subscribe.as_deref(), Some("d"));
        let third = candidates.next(&second).unwrap();
        assert!(candidates.next(&third).is_none());
        assert_eq!(
            candidates.describe_tried("gone".into()),
            "gone (tried \"stream\" in app \"live\", \"d\" in app \"a/b/c\", \"b/c/d\" in app \"a\")"
        );
    }

    #[test]
    fn keeps_a_name_to_subscribe_to_that_is_another() {
        let first = Config {
            subscribe: Some("other".into()),
            ..session()
        };
        let mut candidates = Candidates::new(&[candidate("a", "b")]);
        let second = candidates.next(&first).unwrap();
        assert_eq!(second.subscribe.as_deref(), Some("other"));
    }

    #[test]
    fn nothing_is_left_of_what_is_settled() {
        let mut candidates = Candidates::new(&[candidate("a", "b")]);
        candidates.clear();
        assert!(candidates.next(&session()).is_none());
    }

    #[test]
    fn neither_silence_nor_a_refusal_says_elsewhere() {
        let refused = |reason: &str| EndCause::Session(End::Refused(reason.into()));
        let closed = || EndCause::PeerClosed {
            between_messages: true,
        };
        assert!(suggests_other_candidate(
            &EndCause::Session(End::NotFound("x".into())),
            false
        ));
        assert!(suggests_other_candidate(
            &refused("NetConnection.Connect.InvalidApp: x"),
            false
        ));
        assert!(!suggests_other_candidate(
            &refused("NetConnection.Connect.Rejected: x"),
            true
        ));
        assert!(suggests_other_candidate(&closed(), true));
        assert!(!suggests_other_candidate(&closed(), false));
        assert!(!suggests_other_candidate(
            &EndCause::Session(End::TimedOut(Timeout::Connect)),
            true
        ));
        assert!(!suggests_other_candidate(&EndCause::Stopped, true));
    }
}
