//! How a download ended, judged from the end cause and from what arrived before.

use std::{fmt, io};

use super::{admission::HostFailure, hint::Hint, swf_player::PlayerError};
use crate::{
    core::{
        flv::{TagKind, TrackId},
        rtmp::{
            client::{End, Timeout, config::Timeouts},
            error::Error,
        },
    },
    output::Gaps,
    transport::DialError,
};

/// The result of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The word for the ending.
    pub ending: Ending,
    /// The cause, in the server's own words if it gave any. Not escaped.
    pub reason: String,
    /// Whether audio or video arrived, and was written if a limit or the reader ended the download; or the
    /// recording was complete before.
    pub media_arrived: bool,
    /// Whether the handshake of the latest connection was completed.
    pub handshake_done: bool,
    /// Whether the stream counts as live.
    pub is_live: bool,
    /// Bytes written.
    pub bytes: u64,
    /// Tags written.
    pub tags: u64,
    /// Position of the output clock, in milliseconds.
    pub position_ms: u64,
    /// Duration that the server announced, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Gaps in the recording.
    pub gaps: Gaps,
    /// Tracks that players cannot decode, because no sequence header arrived.
    pub missing_sequence_headers: Vec<TagKind>,
    /// Selected tracks that did not arrive.
    pub missing_tracks: Vec<TrackId>,
    /// What would probably help, the most probable first. Empty if media arrived.
    pub hints: Vec<Hint>,
}

/// All endings. Each has its own word and an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The server reported the end of the stream.
    Ended,
    /// The server reported that the publisher left.
    Unpublished,
    /// A limit set by the user was reached.
    Limit,
    /// The peer closed at a message boundary, and nothing is known to be missing.
    Closed,
    /// The reader of the output pipe closed it.
    ReaderGone,
    /// The user stopped the download.
    Interrupted,
    /// The connection broke or closed before the end of the stream.
    Cut,
    /// No media arrived within the timeout.
    Stalled,
    /// The server rejected the request.
    Refused,
    /// The stream does not exist.
    NotFound,
    /// The stream does not contain the end of the existing recording, which stays unchanged.
    Mismatch,
    /// The disk is full; the written part is kept.
    DiskFull,
    /// The output cannot be opened or written.
    OutputFailed,
    /// The SWF player for `-W` is not available.
    NoPlayer,
    /// Connecting or the handshake failed.
    NoConnection,
}

impl Ending {
    /// Returns the ending after an error of the output, and its reason.
    pub fn of_output(error: &io::Error) -> (Self, String) {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                (Self::ReaderGone, "the reader closed the output".to_owned())
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => {
                (Self::DiskFull, format!("no space for the output: {error}"))
            }
            _ => (
                Self::OutputFailed,
                format!("cannot write the output: {error}"),
            ),
        }
    }

    /// Whether this ending stands even if a series of attempts started with another loss.
    pub(super) fn is_final(self) -> bool {
        self == Self::Limit || self.is_of_output()
    }

    /// Whether the output ended the download.
    pub(super) fn is_of_output(self) -> bool {
        matches!(self, Self::ReaderGone | Self::DiskFull | Self::OutputFailed)
    }
}

/// The event that ended a download.
#[derive(Debug)]
pub(super) enum EndCause {
    Player(PlayerError),
    Dial(DialError),
    /// Another download tried the server without success.
    HostFailed(HostFailure),
    Session(End),
    Protocol(Error),
    /// The peer closed its side of the connection.
    PeerClosed {
        between_messages: bool,
    },
    /// The connection broke.
    Broken(io::Error),
    Output(io::Error),
    /// The recording reached a limit set by the user.
    Limit,
    Stopped,
    /// A redirect that must not be followed, and why.
    RedirectRefused(String),
    /// The stream does not contain the end of the existing recording.
    NoMatch,
    /// The existing file cannot be continued, and why.
    Mismatch(String),
    /// The server sent the stream from its beginning, not from the requested start.
    StartIgnored {
        start_ms: u64,
    },
}

impl EndCause {
    /// Whether the peer disconnected without giving a reason. Servers do this if they reject a
    /// request. Errors of a tunnel or of TLS do not count.
    pub(super) fn is_disconnect(&self) -> bool {
        match self {
            Self::PeerClosed { .. } => true,
            Self::Broken(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            ),
            _ => false,
        }
    }
}

/// What is known of the stream when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Whether the ending is judged like that of a live stream.
    pub(super) is_live: bool,
    /// Whether the server called the stream recorded.
    pub(super) is_recorded: bool,
    pub(super) is_connected: bool,
    pub(super) is_shaking_hands: bool,
    /// Whether the server reported the start of playback on this connection.
    pub(super) is_playing: bool,
    pub(super) has_media: bool,
    /// Position of the first frame in the server's stream, in milliseconds.
    pub(super) first_timestamp_ms: u64,
    /// Time from the first to the latest frame, in milliseconds.
    pub(super) length_ms: u64,
    pub(super) duration_ms: Option<u64>,
    /// Time between two frames, in milliseconds.
    pub(super) frame_interval_ms: u64,
    /// The timeouts in force.
    pub(super) timeouts: Timeouts,
}

impl Facts {
    /// Whether a recorded stream has arrived up to nine tenths of its announced duration, or has no
    /// duration. Announced durations are often inexact, so a smaller difference means nothing.
    pub(super) fn is_nearly_complete(&self) -> bool {
        let is_long = |duration_ms: u64| self.length_ms >= (duration_ms / 10).saturating_mul(9);
        self.is_live || self.has_reached_duration() || self.duration_ms.is_none_or(is_long)
    }

    /// Whether a recorded stream has arrived up to its announced duration. The tolerance covers
    /// rounding and the duration of the last frame, which some servers count.
    fn has_reached_duration(&self) -> bool {
        let Some(duration_ms) = self.duration_ms else {
            return false;
        };
        let tolerance_ms = DURATION_TOLERANCE_MS.max(self.frame_interval_ms.saturating_mul(2));
        // A stream whose timestamps do not start at 0 reaches its duration on the server's clock,
        // not on the output clock.
        let start_ms = match self.first_timestamp_ms {
            first_ms if first_ms < duration_ms => first_ms,
            _ => 0,
        };
        let end_ms = start_ms.saturating_add(self.length_ms);
        end_ms.saturating_add(tolerance_ms) >= duration_ms
    }

    fn may_be_complete(&self) -> bool {
        self.has_media && (self.is_live || self.has_reached_duration())
    }
}

/// Returns the ending and its cause, in the server's own words if it gave any. The words are not
/// escaped.
pub(super) fn judge(cause: &EndCause, facts: &Facts) -> (Ending, String) {
    match cause {
        EndCause::Player(error) => (Ending::NoPlayer, error.to_string()),
        EndCause::Dial(error) => (Ending::NoConnection, error.to_string()),
        EndCause::HostFailed(failure) => (Ending::NoConnection, failure.reason.clone()),
        EndCause::Session(end) => judge_end(end, facts),
        EndCause::Protocol(error @ Error::Handshake(_)) => {
            (Ending::NoConnection, error.to_string())
        }
        EndCause::Protocol(error) => (Ending::Cut, error.to_string()),
        EndCause::PeerClosed { between_messages } => judge_close(*between_messages, facts),
        EndCause::Broken(error) if facts.is_shaking_hands => {
            let hint = if cause.is_disconnect() {
                format!(" ({NO_RTMP})")
            } else {
                String::new()
            };
            let reason = format!("the connection broke during the handshake{hint}: {error}");
            (Ending::NoConnection, reason)
        }
        EndCause::Broken(error) if !facts.is_connected => (
            Ending::Cut,
            format!("the connection broke before an answer to connect ({NO_APP}): {error}"),
        ),
        EndCause::Broken(error) => (Ending::Cut, format!("the connection broke: {error}")),
        EndCause::Output(error) => Ending::of_output(error),
        EndCause::Limit => (Ending::Limit, "the requested limit is reached".to_owned()),
        EndCause::Stopped => (Ending::Interrupted, "stopped by the user".to_owned()),
        EndCause::RedirectRefused(why) => (Ending::Refused, why.clone()),
        EndCause::NoMatch => (Ending::Mismatch, OTHER_STREAM.to_owned()),
        EndCause::Mismatch(why) => (Ending::Mismatch, why.clone()),
        EndCause::StartIgnored { start_ms } => (
            Ending::Cut,
            format!(
                "the server ignored --start: the recording starts at 0 s of the stream, not at {} s",
                *start_ms as f64 / 1000.0
            ),
        ),
    }
}

fn judge_end(end: &End, facts: &Facts) -> (Ending, String) {
    match end {
        End::Complete(reason) | End::Unpublished(reason) | End::Closed(reason)
            if !facts.has_media =>
        {
            (Ending::Cut, format!("{reason}, before any media"))
        }
        End::Complete(reason) => (Ending::Ended, reason.clone()),
        // The server closed the session, not the stream: whether the stream is complete is judged
        // as after a close without a word.
        End::Closed(reason) if facts.is_live => (Ending::Closed, reason.clone()),
        End::Closed(reason) if facts.has_reached_duration() => (Ending::Ended, reason.clone()),
        End::Closed(reason) => (
            Ending::Cut,
            format!("{reason}, before the end of the stream"),
        ),
        End::Unpublished(reason) => (Ending::Unpublished, reason.clone()),
        End::NotFound(reason) => (Ending::NotFound, reason.clone()),
        End::Refused(reason) => (Ending::Refused, reason.clone()),
        End::Failed(reason) => (Ending::Cut, reason.clone()),
        End::TimedOut(Timeout::Handshake) => {
            (Ending::NoConnection, silence(Timeout::Handshake, facts))
        }
        End::TimedOut(Timeout::Silence) if !facts.is_live && facts.has_reached_duration() => (
            Ending::Ended,
            "the duration is reached and the server is silent".to_owned(),
        ),
        // After a silent connection, another one brings no media either: some servers do not report
        // that the publisher has left.
        End::TimedOut(Timeout::FirstMedia) if facts.is_live && facts.has_media => {
            (Ending::Unpublished, silence(Timeout::FirstMedia, facts))
        }
        End::TimedOut(wait) => (Ending::Stalled, silence(*wait, facts)),
    }
}

/// Describes the missing answer and the timer that expired.
fn silence(wait: Timeout, facts: &Facts) -> String {
    let timeouts = &facts.timeouts;
    let (what, timer, bound) = match wait {
        Timeout::Handshake => (
            "the server does not answer the handshake",
            "handshake",
            timeouts.handshake,
        ),
        Timeout::Connect => (
            "the server does not answer connect",
            "command",
            timeouts.command,
        ),
        Timeout::CreateStream => (
            "the server does not answer createStream",
            "command",
            timeouts.command,
        ),
        Timeout::FirstMedia => (
            if facts.is_recorded {
                "no media arrived"
            } else {
                "no media arrived; the stream may not be published"
            },
            "first media",
            if facts.is_playing {
                timeouts.first_media_after_start
            } else {
                timeouts.first_media
            },
        ),
        Timeout::Silence => ("no more media arrived", "silence", timeouts.silence),
    };
    match bound {
        Some(bound) => {
            // The rest of `--wait` is no round number.
            let seconds = (bound.as_secs_f32() * 10.0).round() / 10.0;
            format!("{what} ({timer} timeout of {seconds} s)")
        }
        None => what.to_owned(),
    }
}

fn judge_close(between_messages: bool, facts: &Facts) -> (Ending, String) {
    let closed = "the server closed the connection";
    if facts.is_shaking_hands {
        (
            Ending::NoConnection,
            format!("{closed} during the handshake ({NO_RTMP})"),
        )
    } else if !facts.is_connected {
        (
            Ending::Cut,
            format!("{closed} instead of answering connect ({NO_APP})"),
        )
    } else if !facts.has_media {
        (Ending::Cut, format!("{closed} before any media"))
    } else if !between_messages {
        (Ending::Cut, format!("{closed} in the middle of a message"))
    } else if facts.may_be_complete() {
        (Ending::Closed, closed.to_owned())
    } else {
        (
            Ending::Cut,
            format!("{closed} before the end of the stream"),
        )
    }
}

impl fmt::Display for Ending {
    /// Writes the word that stands in the summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended",
            Self::Unpublished => "unpublished",
            Self::Limit => "limit",
            Self::Closed => "closed",
            Self::ReaderGone => "reader-gone",
            Self::Interrupted => "interrupted",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Mismatch => "mismatch",
            Self::DiskFull => "disk-full",
            Self::OutputFailed => "output-failed",
            Self::NoPlayer => "no-player",
            Self::NoConnection => "no-connection",
        })
    }
}

/// Hint for servers that close the connection instead of rejecting an unknown app.
const NO_APP: &str = "the app may not exist";

/// Reason of a failed resume.
const OTHER_STREAM: &str = "the end of the file is not in the stream; the file is unchanged";

/// Hint for servers that close during the handshake, for example because they expect TLS.
const NO_RTMP: &str = "the port may serve another protocol, or rtmps";

/// How far the last timestamp of a complete recorded stream may fall short of the duration, in
/// milliseconds.
pub(super) const DURATION_TOLERANCE_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RECORDED: Facts = Facts {
        is_live: false,
        is_recorded: true,
        is_connected: true,
        is_shaking_hands: false,
        is_playing: true,
        has_media: true,
        first_timestamp_ms: 0,
        length_ms: 30_000,
        duration_ms: Some(30_000),
        frame_interval_ms: 40,
        timeouts: Timeouts {
            handshake: Some(Duration::from_secs(7)),
            command: Some(Duration::from_secs(8)),
            first_media: Some(Duration::from_secs(9)),
            first_media_after_start: Some(Duration::from_secs(9)),
            silence: None,
        },
    };

    const LIVE: Facts = Facts {
        is_live: true,
        is_recorded: false,
        duration_ms: None,
        ..RECORDED
    };

    fn closed(facts: Facts) -> Ending {
        let cause = EndCause::PeerClosed {
            between_messages: true,
        };
        judge(&cause, &facts).0
    }

    fn ended(end: End, facts: Facts) -> Ending {
        judge(&EndCause::Session(end), &facts).0
    }

    #[test]
    fn a_recorded_stream_that_closes_is_complete_within_the_tolerance() {
        let at = |length_ms| {
            closed(Facts {
                length_ms,
                ..RECORDED
            })
        };
        assert_eq!(at(29_500), Ending::Closed);
        assert_eq!(at(29_499), Ending::Cut);
        assert_eq!(at(99_000), Ending::Closed);
    }

    #[test]
    fn the_duration_is_reached_on_the_servers_own_clock() {
        let closing = |first_timestamp_ms, length_ms| {
            closed(Facts {
                first_timestamp_ms,
                length_ms,
                ..RECORDED
            })
        };
        assert_eq!(closing(1_000, 29_000), Ending::Closed);
        assert_eq!(closing(1_000, 28_000), Ending::Cut);
        assert_eq!(closing(9_000_000, 28_000), Ending::Cut);
    }

    #[test]
    fn slow_frames_widen_the_tolerance() {
        let at = |length_ms| {
            closed(Facts {
                length_ms,
                frame_interval_ms: 1_000,
                ..RECORDED
            })
        };
        assert_eq!(at(28_000), Ending::Closed);
        assert_eq!(at(27_999), Ending::Cut);
    }

    #[test]
    fn a_closed_recorded_stream_without_duration_is_cut() {
        let duration_ms = None;
        assert_eq!(
            closed(Facts {
                duration_ms,
                ..RECORDED
            }),
            Ending::Cut
        );
    }

    #[test]
    fn a_live_stream_is_closed_between_messages_and_cut_within_one() {
        assert_eq!(closed(LIVE), Ending::Closed);
        let within = EndCause::PeerClosed {
            between_messages: false,
        };
        assert_eq!(judge(&within, &LIVE).0, Ending::Cut);
        assert_eq!(judge(&within, &RECORDED).0, Ending::Cut);
    }

    #[test]
    fn a_close_without_media_is_cut() {
        for facts in [LIVE, RECORDED] {
            let has_media = false;
            assert_eq!(closed(Facts { has_media, ..facts }), Ending::Cut);
            let complete = End::Complete(String::new());
            assert_eq!(ended(complete, Facts { has_media, ..facts }), Ending::Cut);
        }
    }

    #[test]
    fn a_close_during_the_handshake_is_no_connection() {
        let facts = Facts {
            is_shaking_hands: true,
            is_connected: false,
            has_media: false,
            ..RECORDED
        };
        assert_eq!(closed(facts), Ending::NoConnection);
        let broken = EndCause::Broken(io::ErrorKind::ConnectionReset.into());
        let (ending, reason) = judge(&broken, &facts);
        assert_eq!(ending, Ending::NoConnection);
        assert!(reason.contains(NO_RTMP), "{reason}");
        assert_eq!(judge(&broken, &RECORDED).0, Ending::Cut);
        let timed_out = End::TimedOut(Timeout::Handshake);
        assert_eq!(ended(timed_out, facts), Ending::NoConnection);
    }

    #[test]
    fn silence_after_the_duration_is_an_end_and_before_it_a_stall() {
        let silence = || End::TimedOut(Timeout::Silence);
        assert_eq!(ended(silence(), RECORDED), Ending::Ended);
        assert_eq!(ended(silence(), LIVE), Ending::Stalled);
        let early = Facts {
            length_ms: 10_000,
            ..RECORDED
        };
        assert_eq!(ended(silence(), early), Ending::Stalled);
    }

    #[test]
    fn the_reason_names_the_expired_timer() {
        for (wait, end) in [
            (Timeout::Handshake, "handshake (handshake timeout of 7 s)"),
            (Timeout::Connect, "answer connect (command timeout of 8 s)"),
            (
                Timeout::CreateStream,
                "answer createStream (command timeout of 8 s)",
            ),
            (
                Timeout::FirstMedia,
                "may not be published (first media timeout of 9 s)",
            ),
            (Timeout::Silence, "no more media arrived"),
        ] {
            let cause = EndCause::Session(End::TimedOut(wait));
            let reason = judge(&cause, &LIVE).1;
            assert!(reason.ends_with(end), "{reason}");
        }
    }

    #[test]
    fn a_closed_session_is_complete_only_at_the_duration() {
        let closed = || End::Closed("NetConnection.Connect.Closed".to_owned());
        assert_eq!(ended(closed(), RECORDED), Ending::Ended);
        assert_eq!(ended(closed(), LIVE), Ending::Closed);
        let early = Facts {
            length_ms: 3_000,
            ..RECORDED
        };
        assert_eq!(ended(closed(), early), Ending::Cut);
    }

    #[test]
    fn a_stream_that_ends_far_before_its_duration_is_not_nearly_complete() {
        let at = |length_ms| Facts {
            length_ms,
            first_timestamp_ms: 0,
            duration_ms: Some(30_000),
            ..RECORDED
        };
        assert!(at(30_000).is_nearly_complete());
        assert!(at(27_000).is_nearly_complete());
        assert!(!at(3_000).is_nearly_complete());
        let live = Facts {
            is_live: true,
            ..at(3_000)
        };
        assert!(live.is_nearly_complete());
    }

    #[test]
    fn only_an_unrecorded_stream_may_lack_a_publisher() {
        let silent = EndCause::Session(End::TimedOut(Timeout::FirstMedia));
        for (facts, may_lack) in [(LIVE, true), (RECORDED, false)] {
            let reason = judge(&silent, &facts).1;
            assert_eq!(reason.contains("published"), may_lack, "{reason}");
        }
    }

    #[test]
    fn output_errors_have_different_endings() {
        let output = |kind: io::ErrorKind| judge(&EndCause::Output(kind.into()), &LIVE).0;
        assert_eq!(output(io::ErrorKind::BrokenPipe), Ending::ReaderGone);
        assert_eq!(output(io::ErrorKind::StorageFull), Ending::DiskFull);
        assert_eq!(
            output(io::ErrorKind::PermissionDenied),
            Ending::OutputFailed
        );
    }
}
