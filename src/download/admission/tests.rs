use std::sync::atomic::{AtomicUsize, Ordering};

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
fn end_of_backoff(gate: &Gate, host: &str, now: Instant) -> Instant {
    match gate.peek(host, now, &mut Seen::default()) {
        Verdict::NotBefore(time) => time,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn connections_are_spread_over_time() {
    let (mut gate, start) = (Gate::new(ms(50)), Instant::now());
    let slots = [0, 0, 10, 500, 501].map(|at| gate.slot(start + ms(at)) - start);
    assert_eq!(slots, [0, 50, 100, 500, 550].map(ms));
    let mut gate = Gate::new(Duration::ZERO);
    assert_eq!([gate.slot(start), gate.slot(start)], [start, start]);
}

#[test]
fn one_probe_at_a_time_tries_a_failing_host() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    let ask = |gate: &mut Gate, now| gate.ask("a", now, &mut Seen::default());
    assert_eq!(ask(&mut gate, start), Verdict::Admitted);
    assert_eq!(ask(&mut gate, start), Verdict::Admitted);
    fail(&mut gate, "a", start);
    let end = end_of_backoff(&gate, "a", start);
    assert!((ms(750)..=ms(1250)).contains(&(end - start)));
    assert_eq!(ask(&mut gate, end), Verdict::Admitted);
    assert_eq!(ask(&mut gate, end), Verdict::AfterProbe);
    gate.abandoned("a");
    assert_eq!(ask(&mut gate, end), Verdict::Admitted);
    gate.succeeded("a");
    assert_eq!(ask(&mut gate, end), Verdict::Admitted);
    assert_eq!(ask(&mut gate, end), Verdict::Admitted);
}

#[test]
fn failed_probe_fails_for_all_that_wait() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    fail(&mut gate, "a", start);
    let (mut waiting, mut later) = (Seen::default(), Seen::default());
    let end = end_of_backoff(&gate, "a", start);
    assert_eq!(gate.peek("a", start, &mut waiting), Verdict::NotBefore(end));
    fail(&mut gate, "a", end);
    assert_eq!(
        gate.peek("a", end, &mut waiting),
        Verdict::Failed(failure("refused"))
    );
    assert!(matches!(
        gate.peek("a", end, &mut later),
        Verdict::NotBefore(_)
    ));
}

#[test]
fn other_hosts_are_not_affected() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    fail(&mut gate, "a", start);
    assert_eq!(
        gate.ask("b", start, &mut Seen::default()),
        Verdict::Admitted
    );
}

#[test]
fn connections_from_before_a_failure_do_not_extend_the_back_off() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    let mut rng = rng();
    for _ in 0..100 {
        let times = (start, start + ms(9));
        gate.failed("a", times, failure("refused"), &mut rng);
    }
    let end = end_of_backoff(&gate, "a", start);
    assert!(end - start <= ms(9 + 1250));
}

#[test]
fn back_off_grows_up_to_its_limit() {
    let (mut gate, start) = (Gate::new(Duration::ZERO), Instant::now());
    let mut now = start;
    for seconds in [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0] {
        fail(&mut gate, "a", now);
        let end = end_of_backoff(&gate, "a", now);
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
    let verdict = gate.peek(&last, start, &mut Seen::default());
    assert_eq!(verdict, Verdict::Admitted, "there are too many");
    let later = start + Duration::from_secs(121);
    fail(&mut gate, &last, later);
    let verdict = gate.peek("0", start, &mut Seen::default());
    assert_eq!(verdict, Verdict::Admitted, "it is forgotten");
    assert!(end_of_backoff(&gate, &last, later) > later);
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

/// A restarted server gets one connection, and after its success the others.
#[tokio::test]
async fn waiting_downloads_follow_the_probe() {
    for succeeds in [true, false] {
        let admission = Arc::new(Admission::new(None, Duration::ZERO));
        let mut permit = admission.admit(&endpoint()).await.unwrap();
        permit.failed(failure("first"));
        let probes = AtomicUsize::new(0);
        let download = async || {
            let mut permit = admission.admit(&endpoint()).await?;
            if probes.fetch_add(1, Ordering::Relaxed) > 0 {
                return Ok(());
            }
            tokio::time::sleep(ms(20)).await;
            assert_eq!(probes.load(Ordering::Relaxed), 1, "one probe at a time");
            match succeeds {
                true => permit.succeeded(),
                false => permit.failed(failure("second")),
            }
            Ok::<_, HostFailure>(())
        };
        let (one, two, three) = tokio::join!(download(), download(), download());
        let results = [one, two, three];
        let failed = results.iter().filter_map(|result| result.as_ref().err());
        let failed: Vec<_> = failed.map(|failure| failure.reason.as_str()).collect();
        match succeeds {
            true => assert!(failed.is_empty(), "{failed:?}"),
            false => assert_eq!(failed, ["second"; 2]),
        }
    }
}
