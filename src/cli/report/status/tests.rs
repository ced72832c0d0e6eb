use std::time::Duration;

use super::*;
use crate::{
    cli::{args::Verbosity, exit_code, terminal::screen::tests::plain},
    download::Ending,
    output::Drops,
};

pub(in crate::cli) fn registry() -> Arc<Registry> {
    Registry::new(plain(Verbosity::Normal).0)
}

pub(in crate::cli) fn endpoint() -> Endpoint {
    Endpoint {
        host: "host".to_owned(),
        port: 1935,
    }
}

fn retry() -> Retry {
    Retry {
        attempt: 1,
        limit: None,
        wait: Duration::from_secs(1),
        ending: Ending::Cut,
        reason: String::new(),
    }
}

fn gap(length_ms: u64) -> Gap {
    Gap {
        at_ms: 5,
        began: Timestamp::UNIX_EPOCH,
        length_ms,
        reason: "lost rtmp://me:secret@host/".to_owned(),
    }
}

fn outcome(ending: Ending) -> Outcome {
    Outcome {
        reason: "a reason".to_owned(),
        is_live: true,
        ..exit_code::tests::outcome(ending)
    }
}

fn progress(frames: u64) -> Progress {
    Progress {
        frames,
        video_frames: frames / 2,
        received_bytes: 100 * frames,
        bytes: 110 * frames,
        position_ms: 40 * frames,
        ..Progress::default()
    }
}

fn status(registry: &Registry) -> StreamStatus {
    let mut found = Vec::new();
    registry.for_each(|status| found.push(status.clone()));
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn the_state_follows_the_download() {
    let registry = registry();
    let mut listener = registry.open("cam");
    let state = || status(&registry).state;
    assert_eq!(state(), State::Waiting);
    assert!(!registry.is_ready());
    registry.complete();
    assert!(!registry.is_ready());
    listener.connecting(&endpoint());
    assert_eq!(state(), State::Connecting);
    assert!(registry.is_ready());
    listener.started(true);
    listener.progress(&progress(0));
    assert_eq!(state(), State::Connecting, "no media arrived");
    listener.progress(&progress(1));
    assert_eq!(state(), State::Playing);
    listener.retry(&retry());
    assert_eq!(state(), State::Reconnecting);
    listener.connecting(&endpoint());
    listener.progress(&progress(1));
    assert_eq!(state(), State::Reconnecting, "no media arrived since");
    listener.progress(&progress(2));
    assert_eq!(state(), State::Playing);
    listener.finished(&outcome(Ending::Closed));
    assert_eq!(state(), State::Ended);
    let end = status(&registry).end.unwrap();
    assert_eq!((&end.word[..], &end.reason[..]), ("closed", "a reason"));
}

#[test]
fn an_ending_with_an_error_code_is_a_failure() {
    for (ending, state) in [
        (Ending::Interrupted, State::Ended),
        (Ending::Limit, State::Ended),
        (Ending::Cut, State::Failed),
        (Ending::DiskFull, State::Failed),
        (Ending::NoConnection, State::Failed),
    ] {
        let registry = registry();
        registry.open("cam").finished(&outcome(ending));
        assert_eq!(status(&registry).state, state, "{ending}");
    }
    let registry = registry();
    registry
        .open("cam")
        .not_started(NotStarted::Usage, "no output");
    let status = status(&registry);
    assert_eq!(
        (status.state, &status.end.unwrap().word[..]),
        (State::Failed, "usage")
    );
}

#[test]
fn redirects_belong_to_the_same_attempt() {
    let registry = registry();
    let mut listener = registry.open("cam");
    for _ in 0..3 {
        listener.connecting(&endpoint());
    }
    assert_eq!(status(&registry).attempts, 1);
    for attempts in 2..4 {
        listener.retry(&retry());
        listener.connecting(&endpoint());
        assert_eq!(status(&registry).attempts, attempts);
    }
}

#[test]
fn an_attempt_with_another_source_counts() {
    let registry = registry();
    let mut listener = registry.open("cam");
    listener.connecting(&endpoint());
    listener.source_lost();
    listener.connecting(&endpoint());
    let status = status(&registry);
    assert_eq!((status.attempts, status.state), (2, State::Reconnecting));
}

#[test]
fn an_attempt_without_a_connection_counts() {
    let registry = registry();
    let mut listener = registry.open("cam");
    registry.complete();
    listener.retry(&retry());
    assert!(registry.is_ready());
    listener.retry(&retry());
    listener.connecting(&endpoint());
    let status = status(&registry);
    assert_eq!((status.attempts, status.state), (3, State::Reconnecting));
}

#[test]
fn counters_continue_in_the_next_download_of_the_same_name() {
    let registry = registry();
    let drops = Drops {
        gaps: 1,
        frames: 2,
        bytes: 3,
        length_ms: 4,
    };
    for _ in 0..2 {
        let mut listener = registry.open("cam");
        assert_eq!(status(&registry).state, State::Waiting);
        listener.connecting(&endpoint());
        listener.started(true);
        listener.progress(&progress(4));
        listener.progress(&Progress {
            drops,
            ..progress(10)
        });
        listener.gap(&gap(500));
        listener.finished(&outcome(Ending::Cut));
    }
    let status = status(&registry);
    assert_eq!((status.audio_frames, status.video_frames), (10, 10));
    assert_eq!(
        (status.received_bytes, status.written_bytes),
        (2_000, 2_200)
    );
    assert_eq!(
        (status.gaps, status.gaps_ms, status.attempts),
        (2, 1_000, 2)
    );
    let expected = Drops {
        gaps: 2,
        frames: 4,
        bytes: 6,
        length_ms: 8,
    };
    assert_eq!((status.drops, status.position_ms), (expected, 400));
}

#[test]
fn bytes_of_an_existing_recording_are_not_counted() {
    let registry = registry();
    let existing = progress(100);
    let mut listener = registry.open("cam");
    listener.connecting(&endpoint());
    // Before the streams are joined, the size is that of the existing file.
    listener.progress(&Progress {
        frames: 3,
        ..existing
    });
    listener.resuming(&existing);
    listener.progress(&Progress {
        bytes: existing.bytes + 40,
        ..existing
    });
    assert_eq!(status(&registry).written_bytes, 40);
}

#[test]
fn texts_are_without_secrets() {
    let registry = registry();
    let mut listener = registry.open("rtmp://me:secret@host/");
    listener.gap(&gap(500));
    listener.file_opened(Path::new("a?token=secret"));
    let mut outcome = outcome(Ending::Cut);
    outcome.reason = "rtmp://me:secret@host/".to_owned();
    listener.finished(&outcome);
    let status = status(&registry);
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    assert_eq!(status.last_gap.unwrap().length_ms, 500);
}

#[test]
fn removed_streams_are_not_visited() {
    let registry = registry();
    for name in ["b", "c", "a"] {
        registry.open(name);
    }
    registry.remove("b");
    let mut names = Vec::new();
    registry.for_each(|status| names.push(status.name.clone()));
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn silent_and_lost_streams_have_trouble() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut status = StreamStatus::new("cam".to_owned(), start);
    assert!(!status.has_trouble(at(3_600)), "the start is delayed");
    status.connect(at(10));
    assert!(!status.has_trouble(at(19)));
    assert!(status.has_trouble(at(20)), "no media for 10 s");
    status.advance(&progress(1), at(20), 20);
    assert!(!status.has_trouble(at(29)));
    assert_eq!(status.silence(at(29)), Some(Duration::from_secs(9)));
    assert!(status.has_trouble(at(30)));
    status.advance(&progress(2), at(31), 31);
    status.fail_attempt(at(32));
    assert!(status.has_trouble(at(32)));
}

#[test]
fn progress_allocates_nothing() {
    let registry = registry();
    let mut listener = registry.open("cam");
    listener.progress(&progress(1));
    let allocations = allocation_counter::measure(|| {
        for frames in 2..100 {
            listener.progress(&progress(frames));
        }
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn the_process_is_alive_while_one_loop_turns() {
    let liveness = Liveness::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(liveness.is_alive(at(1_000)), "no loop is expected to turn");
    let [first, second] = ["first", "second"].map(|name| liveness.add(name));
    assert!(liveness.is_alive(at(29)));
    first.beat(at(29));
    assert!(liveness.is_alive(at(58)));
    let stuck: Vec<_> = liveness
        .ages(at(58))
        .into_iter()
        .filter(|age| age.is_stuck())
        .map(|age| age.name)
        .collect();
    assert_eq!(stuck, ["second"]);
    assert!(!liveness.is_alive(at(60)));
    drop(second);
    first.beat(at(90));
    assert_eq!(liveness.ages(at(91)).len(), 1);
    assert!(liveness.is_alive(at(91)));
}
