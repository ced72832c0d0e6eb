//! The places on a server that may have the stream, where its URL does not say which it is.

use std::collections::VecDeque;

use super::{Candidate, outcome::EndCause};
use crate::core::rtmp::client::{End, config::Config};

/// The places that are left, and what is known of the others.
#[derive(Debug)]
pub(super) struct Candidates {
    left: VecDeque<Candidate>,
    tried: Vec<String>,
}

impl Candidates {
    pub(super) fn new(alternatives: &[Candidate]) -> Self {
        Self {
            left: alternatives.iter().cloned().collect(),
            tried: Vec::new(),
        }
    }

    /// The session at the next place, where there is one, told as it is tried.
    pub(super) fn next(&mut self, session: &Config) -> Option<Config> {
        let place = self.left.pop_front()?;
        if self.tried.is_empty() {
            self.tried.push(described(session));
        }
        let mut session = session.clone();
        if session.subscribe.as_ref() == Some(&session.playpath) {
            session.subscribe = Some(place.playpath.clone());
        }
        session.connect.app = place.app;
        session.connect.tc_url = place.tc_url;
        session.playpath = place.playpath;
        let name = described(&session);
        if let Some(before) = self.tried.last() {
            tracing::info!("the server does not know {before}, trying {name}");
        }
        self.tried.push(name);
        Some(session)
    }

    /// Nothing else is tried any more.
    pub(super) fn settle(&mut self) {
        self.left.clear();
    }

    /// `reason`, and what was tried before it came to that.
    pub(super) fn told(&self, reason: String) -> String {
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
pub(super) fn is_elsewhere(last: &EndCause, is_prompt: bool) -> bool {
    match last {
        EndCause::Session(End::NotFound(_)) => true,
        EndCause::Session(End::Refused(reason)) => reason.starts_with(INVALID_APP),
        last if last.is_hung_up() => is_prompt,
        _ => false,
    }
}

/// What Flash Media Server calls it.
const INVALID_APP: &str = "NetConnection.Connect.InvalidApp";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::rtmp::client::Timeout, download::tests::session};

    fn place(app: &str, playpath: &str) -> Candidate {
        Candidate {
            app: app.into(),
            playpath: playpath.into(),
            tc_url: format!("rtmp://h/{app}"),
        }
    }

    #[test]
    fn names_all_that_was_tried() {
        let mut places = Candidates::new(&[place("a/b/c", "d"), place("a", "b/c/d")]);
        assert_eq!(places.told("gone".into()), "gone");
        let first = Config {
            subscribe: Some("stream".into()),
            ..session()
        };
        let second = places.next(&first).unwrap();
        assert_eq!(second.connect.app, "a/b/c");
        assert_eq!(second.connect.tc_url, "rtmp://h/a/b/c");
        assert_eq!(second.playpath, "d");
        assert_eq!(second.subscribe.as_deref(), Some("d"));
        let third = places.next(&second).unwrap();
        assert!(places.next(&third).is_none());
        assert_eq!(
            places.told("gone".into()),
            "gone (tried \"stream\" in app \"live\", \"d\" in app \"a/b/c\", \"b/c/d\" in app \"a\")"
        );
    }

    #[test]
    fn keeps_a_name_to_subscribe_to_that_is_another() {
        let first = Config {
            subscribe: Some("other".into()),
            ..session()
        };
        let mut places = Candidates::new(&[place("a", "b")]);
        let second = places.next(&first).unwrap();
        assert_eq!(second.subscribe.as_deref(), Some("other"));
    }

    #[test]
    fn nothing_is_left_of_what_is_settled() {
        let mut places = Candidates::new(&[place("a", "b")]);
        places.settle();
        assert!(places.next(&session()).is_none());
    }

    #[test]
    fn neither_silence_nor_a_refusal_says_elsewhere() {
        let refused = |reason: &str| EndCause::Session(End::Refused(reason.into()));
        let closed = || EndCause::PeerClosed {
            between_messages: true,
        };
        assert!(is_elsewhere(
            &EndCause::Session(End::NotFound("x".into())),
            false
        ));
        assert!(is_elsewhere(
            &refused("NetConnection.Connect.InvalidApp: x"),
            false
        ));
        assert!(!is_elsewhere(
            &refused("NetConnection.Connect.Rejected: x"),
            true
        ));
        assert!(is_elsewhere(&closed(), true));
        assert!(!is_elsewhere(&closed(), false));
        assert!(!is_elsewhere(
            &EndCause::Session(End::TimedOut(Timeout::Connect)),
            true
        ));
        assert!(!is_elsewhere(&EndCause::Stopped, true));
    }
}
