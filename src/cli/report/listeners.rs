//! List of everything that is notified of a download's events.

use std::{fmt::Debug, path::Path};

use crate::{
    core::{amf::Object, rtmp::client::facts::SessionFacts},
    download::{
        FormatChange, NewTrack, Outcome, Progress, ReceivedMessage, Reconnect, Report, Retry,
        SourceSwitch,
    },
    output::{Gap, SegmentFacts},
    transport::{DialFacts, Endpoint, Route, TunnelFacts},
};

/// Receives the events of a download, and its outcome.
pub trait Listener: Report + Debug {
    /// Called once, when the download has ended.
    fn finished(&mut self, outcome: &Outcome);
}

/// All listeners, in the order in which they are notified.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Box<dyn Listener + Send>>);

impl Listeners {
    /// Adds a listener after the others.
    pub fn push(&mut self, listener: impl Listener + Send + 'static) {
        self.0.push(Box::new(listener));
    }

    fn each(&mut self, notify: impl FnMut(&mut Box<dyn Listener + Send>)) {
        self.0.iter_mut().for_each(notify);
    }
}

impl Listener for Listeners {
    fn finished(&mut self, outcome: &Outcome) {
        self.each(|listener| listener.finished(outcome));
    }
}

impl Report for Listeners {
    fn connecting(&mut self, endpoint: &Endpoint) {
        self.each(|listener| listener.connecting(endpoint));
    }

    fn dialed(&mut self, route: &Route, facts: &DialFacts) {
        self.each(|listener| listener.dialed(route, facts));
    }

    fn tunnel(&mut self, facts: &TunnelFacts) {
        self.each(|listener| listener.tunnel(facts));
    }

    fn session(&mut self, facts: &SessionFacts) {
        self.each(|listener| listener.session(facts));
    }

    fn connected(&mut self) {
        self.each(|listener| listener.connected());
    }

    fn metadata(&mut self, metadata: &Object) {
        self.each(|listener| listener.metadata(metadata));
    }

    fn started(&mut self, is_live: bool) {
        self.each(|listener| listener.started(is_live));
    }

    fn resuming(&mut self, progress: &Progress) {
        self.each(|listener| listener.resuming(progress));
    }

    fn gap(&mut self, gap: &Gap) {
        self.each(|listener| listener.gap(gap));
    }

    fn track(&mut self, track: &NewTrack) {
        self.each(|listener| listener.track(track));
    }

    fn format_changed(&mut self, change: &FormatChange) {
        self.each(|listener| listener.format_changed(change));
    }

    fn reconnect(&mut self, reconnect: &Reconnect) {
        self.each(|listener| listener.reconnect(reconnect));
    }

    fn source_lost(&mut self) {
        self.each(|listener| listener.source_lost());
    }

    fn source(&mut self, switch: &SourceSwitch) {
        self.each(|listener| listener.source(switch));
    }

    fn retry(&mut self, retry: &Retry) {
        self.each(|listener| listener.retry(retry));
    }

    fn progress(&mut self, progress: &Progress) {
        self.each(|listener| listener.progress(progress));
    }

    fn file_opened(&mut self, path: &Path) {
        self.each(|listener| listener.file_opened(path));
    }

    fn segment(&mut self, facts: &SegmentFacts) {
        self.each(|listener| listener.segment(facts));
    }

    fn wants_messages(&self) -> bool {
        self.0.iter().any(|listener| listener.wants_messages())
    }

    fn message(&mut self, message: &ReceivedMessage<'_>) {
        self.each(|listener| listener.message(message));
    }

    /// Whether any listener needs no more of the stream.
    fn is_satisfied(&self) -> bool {
        self.0.iter().any(|listener| listener.is_satisfied())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        cli::exit_code::tests::outcome,
        download::{Ending, ReconnectState},
        transport::Carrier,
    };

    /// Records the names of its events.
    #[derive(Debug, Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<&'static str>>>);

    impl Recorder {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Report for Recorder {
        fn connecting(&mut self, _: &Endpoint) {
            self.note("connecting");
        }

        fn dialed(&mut self, _: &Route, _: &DialFacts) {
            self.note("dialed");
        }

        fn tunnel(&mut self, _: &TunnelFacts) {
            self.note("tunnel");
        }

        fn session(&mut self, _: &SessionFacts) {
            self.note("session");
        }

        fn connected(&mut self) {
            self.note("connected");
        }

        fn metadata(&mut self, _: &Object) {
            self.note("metadata");
        }

        fn started(&mut self, _: bool) {
            self.note("started");
        }

        fn resuming(&mut self, _: &Progress) {
            self.note("resuming");
        }

        fn gap(&mut self, _: &Gap) {
            self.note("gap");
        }

        fn format_changed(&mut self, _: &FormatChange) {
            self.note("format");
        }

        fn reconnect(&mut self, _: &Reconnect) {
            self.note("reconnect");
        }

        fn source_lost(&mut self) {
            self.note("source lost");
        }

        fn source(&mut self, _: &SourceSwitch) {
            self.note("source");
        }

        fn retry(&mut self, _: &Retry) {
            self.note("retry");
        }

        fn progress(&mut self, _: &Progress) {
            self.note("progress");
        }

        fn file_opened(&mut self, _: &Path) {
            self.note("file");
        }

        fn segment(&mut self, _: &SegmentFacts) {
            self.note("segment");
        }

        fn wants_messages(&self) -> bool {
            true
        }

        fn message(&mut self, _: &ReceivedMessage<'_>) {
            self.note("message");
        }

        fn is_satisfied(&self) -> bool {
            self.0.lock().unwrap().contains(&"message")
        }
    }

    impl Listener for Recorder {
        fn finished(&mut self, _: &Outcome) {
            self.note("finished");
        }
    }

    #[test]
    fn every_listener_receives_every_event() {
        let recorders = [Recorder::default(), Recorder::default()];
        let mut listeners = Listeners::default();
        recorders
            .iter()
            .for_each(|recorder| listeners.push(recorder.clone()));
        let endpoint = Endpoint {
            host: "host".to_owned(),
            port: 1935,
        };
        let reason = String::new();
        listeners.connecting(&endpoint);
        let route = Route {
            endpoint: endpoint.clone(),
            carrier: Carrier::Tcp,
        };
        listeners.dialed(&route, &DialFacts::default());
        listeners.tunnel(&TunnelFacts::default());
        listeners.session(&SessionFacts::new(std::time::Instant::now()));
        listeners.connected();
        listeners.metadata(&Object::new());
        listeners.started(true);
        listeners.resuming(&Progress::default());
        listeners.gap(&Gap {
            at_ms: 0,
            began: jiff::Timestamp::UNIX_EPOCH,
            length_ms: 0,
            reason: reason.clone(),
        });
        listeners.format_changed(&crate::cli::report::change());
        listeners.reconnect(&Reconnect {
            state: ReconnectState::Started,
            endpoint: endpoint.clone(),
            reason: reason.clone(),
        });
        listeners.source_lost();
        listeners.source(&SourceSwitch {
            number: 2,
            endpoint,
            reason: reason.clone(),
            gap_ms: None,
        });
        listeners.retry(&Retry {
            attempt: 1,
            limit: None,
            wait: std::time::Duration::ZERO,
            ending: Ending::Cut,
            reason: reason.clone(),
        });
        listeners.progress(&Progress::default());
        listeners.file_opened(Path::new("file"));
        listeners.segment(&SegmentFacts {
            path: String::new(),
            segment: 1,
            offset_ms: 0,
            duration_ms: 0,
            bytes: 0,
            start: String::new(),
        });
        assert!(listeners.wants_messages() && !listeners.is_satisfied());
        listeners.message(&ReceivedMessage {
            now: std::time::Instant::now(),
            timestamp: crate::core::rtmp::message::Timestamp(0),
            info: crate::core::flv::FrameInfo::SCRIPT,
            body: &[],
        });
        assert!(listeners.is_satisfied());
        listeners.finished(&Outcome {
            reason,
            is_live: true,
            ..outcome(Ending::Cut)
        });
        let expected = [
            "connecting",
            "dialed",
            "tunnel",
            "session",
            "connected",
            "metadata",
            "started",
            "resuming",
            "gap",
            "format",
            "reconnect",
            "source lost",
            "source",
            "retry",
            "progress",
            "file",
            "segment",
            "message",
            "finished",
        ];
        for recorder in recorders {
            assert_eq!(*recorder.0.lock().unwrap(), expected);
        }
    }
}
