//! Candidates: the splits of a URL path into app and playpath that may exist on the server.

use std::collections::VecDeque;

use super::{Candidate, outcome::EndCause};
use crate::core::rtmp::client::{End, config::Config};

/// The untried candidates, and descriptions of the tried ones.
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

    /// Returns the session for the next candidate, and logs the attempt.
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
            tracing::info!("the server does not have {before}, trying {name}");
        }
        self.tried.push(name);
        Some(session)
    }

    /// Returns the next candidate without trying it.
    pub(super) fn untried(&self) -> Option<&Candidate> {
        self.left.front()
    }

    /// Drops the remaining candidates.
    pub(super) fn clear(&mut self) {
        self.left.clear();
    }

    /// Appends the list of tried candidates to `reason`.
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

/// Whether `cause` means that the app or the stream does not exist. Some servers answer an unknown
/// app by closing the connection; such a close counts only if it `is_prompt`. Some servers refuse the
/// empty playpath of a URL with one path component like any malformed call.
pub(super) fn suggests_other_candidate(
    cause: &EndCause,
    session: &Config,
    is_prompt: bool,
) -> bool {
    match cause {
        EndCause::Session(End::NotFound(_)) => true,
        EndCause::Session(End::Refused(reason)) => {
            reason.starts_with(INVALID_APP)
                || session.playpath.is_empty() && reason.starts_with(OF_STREAM)
        }
        cause if cause.is_disconnect() => is_prompt,
        _ => false,
    }
}

/// Prefix of the codes that concern a stream.
const OF_STREAM: &str = "NetStream.";

/// Code that Flash Media Server sends for an unknown app.
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
    fn the_reason_lists_all_tried_candidates() {
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
    fn an_explicit_subscribe_name_is_kept() {
        let first = Config {
            subscribe: Some("other".into()),
            ..session()
        };
        let mut candidates = Candidates::new(&[candidate("a", "b")]);
        let second = candidates.next(&first).unwrap();
        assert_eq!(second.subscribe.as_deref(), Some("other"));
    }

    #[test]
    fn clear_drops_the_remaining_candidates() {
        let mut candidates = Candidates::new(&[candidate("a", "b")]);
        candidates.clear();
        assert!(candidates.next(&session()).is_none());
    }

    #[test]
    fn silence_and_rejections_do_not_suggest_another_candidate() {
        let refused = |reason: &str| EndCause::Session(End::Refused(reason.into()));
        let closed = || EndCause::PeerClosed {
            between_messages: true,
        };
        let suggests =
            |cause: &EndCause, is_prompt| suggests_other_candidate(cause, &session(), is_prompt);
        assert!(suggests(
            &EndCause::Session(End::NotFound("x".into())),
            false
        ));
        assert!(suggests(
            &refused("NetConnection.Connect.InvalidApp: x"),
            false
        ));
        assert!(!suggests(
            &refused("NetConnection.Connect.Rejected: x"),
            true
        ));
        assert!(suggests(&closed(), true));
        assert!(!suggests(&closed(), false));
        assert!(!suggests(
            &EndCause::Session(End::TimedOut(Timeout::Connect)),
            true
        ));
        assert!(!suggests(&EndCause::Stopped, true));
    }
    #[test]
    fn refusal_of_an_empty_playpath_suggests_another_candidate() {
        let empty = Config {
            playpath: String::new(),
            ..session()
        };
        for (reason, expected) in [
            ("NetStream.Play.Failed: x", true),
            ("NetConnection.Connect.Rejected: x", false),
        ] {
            let refused = EndCause::Session(End::Refused(reason.into()));
            assert_eq!(suggests_other_candidate(&refused, &empty, false), expected);
            assert!(!suggests_other_candidate(&refused, &session(), false));
        }
    }
}
