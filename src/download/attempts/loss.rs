//! The loss that starts a series of attempts, and how the series ends.

use crate::download::{Ending, outcome::EndCause};

/// The loss that started a series of attempts.
pub(super) struct Loss {
    pub(super) ending: Ending,
    pub(super) reason: String,
    /// Whether the loss may be temporary. Used if other sources have taken over and failed.
    pub(super) is_worth_retry: bool,
    /// Whether the server disconnected without giving a reason.
    pub(super) is_disconnect: bool,
    /// Whether the server then also disconnected a player after Play.Start and before any media. xiu does so if
    /// a stream has no publisher.
    pub(super) is_without_publisher: bool,
}

impl Loss {
    pub(super) fn of(
        (ending, reason): (Ending, String),
        cause: &EndCause,
        is_worth_retry: bool,
    ) -> Self {
        Self {
            ending,
            reason,
            is_worth_retry,
            is_disconnect: cause.is_disconnect(),
            is_without_publisher: false,
        }
    }
}

/// Returns the judgement of a series that started with the loss `lost` and ended with `last`.
///
/// `has_media` is whether any attempt of the download has received media.
pub(super) fn conclude(
    lost: Option<Loss>,
    last: (Ending, String),
    has_media: bool,
) -> (Ending, String) {
    let Some(loss) = lost else {
        return last;
    };
    let (ending, reason) = (loss.ending, loss.reason);
    match (ending, last.0) {
        (_, final_ending) if final_ending.is_final() => last,
        (_, Ending::Interrupted) if loss.is_without_publisher => last,
        (_, Ending::Cut | Ending::Closed) if loss.is_without_publisher => {
            let reason = format!("{reason}; then: the server closed a connection before any media");
            (Ending::Unpublished, reason)
        }
        // Silence means that the publisher has left if the next connection confirms it, or if the
        // user stops waiting for it.
        (Ending::Stalled, Ending::Unpublished | Ending::Interrupted) => last,
        (Ending::Stalled, Ending::NotFound) if has_media => (Ending::Unpublished, last.1),
        (Ending::Stalled, Ending::NotFound) => last,
        _ if reason == last.1 => (ending, reason),
        _ => (ending, format!("{reason}; then: {}", last.1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(ending: Ending) -> Loss {
        Loss {
            ending,
            reason: "lost".to_owned(),
            is_worth_retry: true,
            is_disconnect: false,
            is_without_publisher: false,
        }
    }

    #[test]
    fn a_failed_series_reports_the_loss_that_started_it() {
        let judged =
            |lost: Ending, last: Ending| conclude(Some(loss(lost)), (last, "last".into()), true);
        let then = || "lost; then: last".to_owned();
        assert_eq!(judged(Ending::Cut, Ending::Cut), (Ending::Cut, then()));
        assert_eq!(
            judged(Ending::Cut, Ending::Interrupted),
            (Ending::Cut, then())
        );
        assert_eq!(judged(Ending::Cut, Ending::Limit).0, Ending::Limit);
        assert_eq!(judged(Ending::Cut, Ending::DiskFull).0, Ending::DiskFull);
    }

    #[test]
    fn silence_is_the_end_of_a_publisher_if_nothing_follows() {
        for last in [Ending::Unpublished, Ending::NotFound] {
            let judged = conclude(Some(loss(Ending::Stalled)), (last, "last".into()), true);
            assert_eq!(judged, (Ending::Unpublished, "last".to_owned()));
        }
        let stopped = (Ending::Interrupted, "stopped".to_owned());
        let silence = Some(loss(Ending::Stalled));
        assert_eq!(conclude(silence, stopped.clone(), true), stopped);
        let silence = Some(loss(Ending::Stalled));
        let missing = (Ending::NotFound, "missing".to_owned());
        let judged = conclude(silence, missing.clone(), false);
        assert_eq!(judged, missing, "there was no publisher");
    }

    #[test]
    fn disconnect_before_media_after_a_disconnect_is_the_end_of_a_publisher() {
        let judged = |last: Ending| {
            let lost = Loss {
                is_disconnect: true,
                is_without_publisher: true,
                ..loss(Ending::Cut)
            };
            conclude(Some(lost), (last, "last".into()), true).0
        };
        assert_eq!(judged(Ending::Cut), Ending::Unpublished);
        assert_eq!(judged(Ending::Closed), Ending::Unpublished);
        assert_eq!(judged(Ending::Interrupted), Ending::Interrupted);
        assert_eq!(judged(Ending::NoConnection), Ending::Cut);
    }
}
