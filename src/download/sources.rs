//! The sources of one recording: the first one, and the fallbacks that replace it.

use std::{sync::Arc, time::Duration};

use super::{Candidate, Job};
use crate::{core::rtmp::client::config::Config, transport::Route};

/// The sources that take over from each other, and when the first one is used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallbacks {
    /// The sources after the first one, in the order in which they take over.
    pub sources: Vec<Source>,
    /// How long the first source must play again before the recording returns to it.
    pub return_after: Duration,
}

/// Another source of the same stream. It gets the session options of the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Server, and the transport to reach it.
    pub route: Route,
    /// App and playpath.
    pub stream: Candidate,
    /// Other splits of the URL path.
    pub candidates: Vec<Candidate>,
}

/// The source in use, and those that failed since one of them last played for a while.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    job: &'a Job,
    /// Index of the source in use; the first one has 0.
    current: usize,
    /// Number of sources that failed in turn.
    failed: usize,
    /// Session of the first source, with the split of its URL path that exists.
    first_session: Arc<Config>,
}

impl<'a> Sources<'a> {
    /// Starts with the first source, whose session is `session`.
    pub(super) fn new(job: &'a Job, session: &Arc<Config>) -> Self {
        Self {
            job,
            current: 0,
            failed: 0,
            first_session: Arc::clone(session),
        }
    }

    /// Whether another source can take over.
    pub(super) fn has_fallbacks(&self) -> bool {
        !self.fallbacks().is_empty()
    }

    pub(super) fn is_first(&self) -> bool {
        self.current == 0
    }

    /// Number of the source in use, from 1.
    pub(super) fn number(&self) -> usize {
        self.current.saturating_add(1)
    }

    pub(super) fn route(&self) -> &'a Route {
        self.fallback()
            .map_or(&self.job.route, |source| &source.route)
    }

    /// Other splits of the URL path of the source in use.
    pub(super) fn candidates(&self) -> &'a [Candidate] {
        self.fallback()
            .map_or(&self.job.candidates, |source| &source.candidates)
    }

    /// Returns the session of the source in use.
    pub(super) fn session(&self) -> Arc<Config> {
        let mut shared = Arc::clone(&self.first_session);
        if let Some(source) = self.fallback() {
            let session = Arc::make_mut(&mut shared);
            let Candidate {
                app,
                playpath,
                tc_url,
            } = source.stream.clone();
            if session.subscribe.as_ref() == Some(&session.playpath) {
                session.subscribe = Some(playpath.clone());
            }
            session.connect.app = app;
            session.connect.tc_url = tc_url;
            session.playpath = playpath;
        }
        shared
    }

    /// Notes that media arrived from the source in use until `played` after the start of its attempt.
    ///
    /// A source that plays only for a moment counts as failed. Otherwise such sources would replace each other
    /// without a delay.
    pub(super) fn note_media(&mut self, played: Duration) {
        if played >= SUCCESS {
            self.failed = 0;
        }
    }

    /// Advances to the next source in turn. `session` is the session of the failed source. Returns whether the next
    /// source may be tried at once: it has not failed since a source last played for a while.
    pub(super) fn advance(&mut self, session: &Arc<Config>) -> bool {
        if self.is_first() {
            self.first_session.clone_from(session);
        }
        let count = self.fallbacks().len().saturating_add(1);
        self.current = self.number().checked_rem(count).unwrap_or(0);
        self.failed = self.failed.saturating_add(1);
        if self.failed >= count {
            self.failed = 0;
            return false;
        }
        true
    }

    /// Returns to the first source, which has played beside the one in use.
    pub(super) fn return_to_first(&mut self) {
        self.current = 0;
    }

    /// Returns the route and the session to watch, if a fallback is in use.
    pub(super) fn first_to_watch(&self) -> Option<(Route, Arc<Config>, Duration)> {
        let fallbacks = self.job.fallbacks.as_ref().filter(|_| !self.is_first())?;
        Some((
            self.job.route.clone(),
            Arc::clone(&self.first_session),
            fallbacks.return_after,
        ))
    }

    fn fallback(&self) -> Option<&'a Source> {
        self.fallbacks().get(self.current.checked_sub(1)?)
    }

    fn fallbacks(&self) -> &'a [Source] {
        let fallbacks = self.job.fallbacks.as_ref();
        fallbacks.map_or(&[], |fallbacks| &fallbacks.sources)
    }
}

/// How long a source must play, so that its loss starts another round of all sources.
const SUCCESS: Duration = Duration::from_secs(10);
