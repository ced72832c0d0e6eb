use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use rand::SeedableRng;

use super::{
    gate::{LONGEST_PAUSE, MAX_HOSTS},
    *,
};

fn failure(reason: &str) -> HostFailure {
    HostFailure {
        reason: reason.to_owned(),
        is_unreachable: true,
    }
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fail(gate: &mut Gate, host: &str, at: Instant) {
    gate.failed(host, (at, at), failure("refused"), &mut rng());
}

/// Returns the end of the back-off of `host`.
fn end_of_backoff(gate: &Gate, host: &str) -> Instant {
    gate.backoff(host).expect("a back-off").until
}

#[test]
fn connections_are_spread_over_time() {
    let (mut gate, start) = (Gate::new(ms(50)), Instant::now());
    let slots = [0, 0, 10, 500, 501].map(|at| gate.slot(start + ms(at)) - start);
    assert_eq!(slots, [0, 50, 100, 500, 550].map(ms));
    let mut gate = Gate::new(Duration::ZERO);
    assert_eq!([gate.slot(start), gate.slot(start)], [start, start]);
}

#[tokio::test(start_paused = true)]
async fn polls_are_spread_over_time() {
    let admission = Admission::new(None, Duration::ZERO);
    let delays: Vec<_> = (0..DOWNLOADS)
        .map(|_| admission.delay_of_poll(ms(5_000)))
        .collect();
    let expected = (0..DOWNLOADS as u64).map(|number| ms(5_000 + 50 * number));
    assert!(delays.into_iter().eq(expected));
    tokio::time::sleep(ms(120_000)).await;
    assert_eq!(admission.delay_of_poll(ms(5_000)), ms(5_000));
}

#[test]
fn connections_from_before_a_failure_do_not_extend_the_back_off() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    let mut rng = rng();
    for _ in 0..100 {
        let times = (start, start + ms(9));
        gate.failed("a", times, failure("refused"), &mut rng);
    }
    let end = end_of_backoff(&gate, "a");
    assert!(end - start <= ms(9 + 1250));
}

#[test]
fn back_off_grows_up_to_its_limit() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    let mut now = start;
    for seconds in [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0] {
        fail(&mut gate, "a", now);
        let end = end_of_backoff(&gate, "a");
        let share = (end - now).as_secs_f64() / seconds;
        assert!((0.75..=1.25).contains(&share), "{share} of {seconds} s");
        assert!(end - now <= LONGEST_PAUSE.mul_f64(1.25));
        now = end;
    }
}

#[test]
fn redirects_to_many_hosts_are_forgotten() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    for number in 0..=MAX_HOSTS {
        fail(&mut gate, &number.to_string(), start);
    }
    let last = MAX_HOSTS.to_string();
    assert!(gate.backoff(&last).is_none(), "there are too many");
    let later = start + Duration::from_secs(121);
    fail(&mut gate, &last, later);
    assert!(gate.backoff("0").is_none(), "it is forgotten");
    assert!(end_of_backoff(&gate, &last) > later);
}

fn endpoint() -> Endpoint {
    Endpoint {
        host: "host".to_owned(),
        port: 1935,
    }
}

#[tokio::test(start_paused = true)]
async fn connection_limit_holds() {
    let admission = Arc::new(Admission::new(Some(2), Duration::ZERO));
    let first = admission.admit(&endpoint()).await.unwrap();
    let second = admission.admit(&endpoint()).await.unwrap();
    let third = tokio::time::timeout(ms(100), admission.admit(&endpoint())).await;
    assert!(third.is_err(), "two connections are open");
    drop(first);
    admission.admit(&endpoint()).await.unwrap();
    drop(second);
}

/// Notes a failure of the server, which starts its back-off.
async fn fail_once(admission: &Arc<Admission>) {
    let mut permit = admission.admit(&endpoint()).await.unwrap();
    permit.failed(failure("first"));
}

/// Counts the turns of a download.
async fn counted<T>(turns: &AtomicUsize, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        turns.fetch_add(1, Ordering::Relaxed);
        work.as_mut().poll(context)
    })
    .await
}

/// Only one download wakes up at the end of a back-off. The others wake up for its result, and for their own
/// connections.
#[tokio::test(start_paused = true)]
async fn waiting_downloads_follow_the_probe() {
    for succeeds in [true, false] {
        let admission = Arc::new(Admission::new(None, ms(50)));
        fail_once(&admission).await;
        let (turns, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut downloads = tokio::task::JoinSet::new();
        for _ in 0..DOWNLOADS {
            let admission = Arc::clone(&admission);
            let (turns, connections) = (Arc::clone(&turns), Arc::clone(&connections));
            downloads.spawn(async move {
                let mut permit = counted(&turns, admission.admit(&endpoint())).await?;
                let number = connections.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(ms(3_000)).await;
                match succeeds || number > 0 {
                    true => permit.succeeded(),
                    false => permit.failed(failure("second")),
                }
                Ok::<_, HostFailure>(Instant::now())
            });
        }
        tokio::time::sleep(ms(3_000)).await;
        assert_eq!(connections.load(Ordering::Relaxed), 1, "the probe");
        let first_turns = turns.load(Ordering::Relaxed);
        assert!(first_turns < DOWNLOADS + 5, "{first_turns} turns");
        let results = downloads.join_all().await;
        let turns = turns.load(Ordering::Relaxed);
        let failed = results.iter().filter_map(|result| result.as_ref().err());
        let failed: Vec<_> = failed.map(|failure| failure.reason.as_str()).collect();
        match succeeds {
            true => {
                assert!(failed.is_empty(), "{failed:?}");
                assert!(turns < 3 * DOWNLOADS + 5, "{turns} turns");
                let mut ends: Vec<_> = results.into_iter().flatten().collect();
                ends.sort();
                let is_spread = |pair: &[Instant]| pair[1] - pair[0] >= ms(50);
                assert!(ends.windows(2).all(is_spread), "{ends:?}");
            }
            false => {
                assert_eq!(failed, vec!["second"; DOWNLOADS - 1]);
                assert!(turns < 2 * DOWNLOADS + 5, "{turns} turns");
            }
        }
    }
}

/// A probe without a result passes its right on, before and after its back-off has ended.
#[tokio::test(start_paused = true)]
async fn abandoned_probe_is_replaced() {
    let admission = Arc::new(Admission::new(None, Duration::ZERO));
    fail_once(&admission).await;
    let server = endpoint();
    let probe = || tokio::time::timeout(ms(5_000), admission.admit(&server));
    let cancelled = tokio::time::timeout(ms(10), admission.admit(&endpoint())).await;
    assert!(cancelled.is_err(), "the back-off has not ended");
    let permit = probe().await.unwrap().unwrap();
    assert!(probe().await.is_err(), "there is a probe");
    drop(permit);
    let panics = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move {
            let _permit = admission.admit(&endpoint()).await.unwrap();
            panic!("in the probe");
        }
    });
    assert!(panics.await.is_err());
    probe().await.unwrap().unwrap().succeeded();
    let (first, second) = (probe().await.unwrap(), probe().await.unwrap());
    assert!(first.is_ok() && second.is_ok(), "the server works");
}

/// A connection from before the back-off may succeed while the probe waits for the end of the back-off.
#[tokio::test(start_paused = true)]
async fn other_success_ends_the_back_off() {
    let admission = Arc::new(Admission::new(None, Duration::ZERO));
    let mut early = admission.admit(&endpoint()).await.unwrap();
    fail_once(&admission).await;
    let (start, server) = (Instant::now(), endpoint());
    let (waiting, ()) = tokio::join!(admission.admit(&server), async {
        tokio::time::sleep(ms(100)).await;
        early.succeeded();
    });
    assert!(waiting.is_ok());
    assert_eq!(start.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn other_hosts_are_not_affected() {
    let admission = Arc::new(Admission::new(None, Duration::ZERO));
    fail_once(&admission).await;
    let other = Endpoint {
        port: 443,
        ..endpoint()
    };
    let start = Instant::now();
    admission.admit(&other).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

const DOWNLOADS: usize = 2_000;
