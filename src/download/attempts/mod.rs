//! The series of attempts: redirects, logins, other candidates, and reconnects after a loss.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

use super::{
    Ending, HostFailure, Job, Retry, Stop,
    candidates::{Candidates, suggests_other_candidate},
    capture,
    connection::Connection,
    hint::{Attempted, hints},
    outcome::{EndCause, Facts, judge},
    pump::{Move, Next, PlayingConnection, Pump, StreamSource},
    redirect::follow,
    retry::{Attempt, AttemptSeries, WaitPolicy},
    sources::Sources,
};
use crate::{
    core::{
        rtmp::{
            client::{
                Client, End, Timeout,
                config::{Config, Start, SwfProof},
            },
            handshake,
        },
        swf::Fingerprint,
    },
    transport::{DialError, DialFacts, Endpoint, Route, Stream},
};

/// Plays the stream until it ends, and reconnects after a loss as often as the retry policy allows.
///
/// A failed series reports the loss that started it, unless media arrived in between.
pub(super) async fn play(
    job: &Job,
    pump: &mut Pump<'_>,
    candidates: &mut Candidates,
    stop: &mut Stop,
) -> (Ending, String) {
    let mut series = AttemptSeries::new(job.retry);
    let session = match Box::pin(with_swf_proof(job, pump, stop)).await {
        Ok(session) => session,
        Err(cause) => return judge(&cause, &pump.facts()),
    };
    let mut session_template = Arc::clone(&session);
    let mut sources = Sources::new(job, &session);
    let mut lost: Option<Loss> = None;
    let mut unpipelined = Vec::new();
    loop {
        let began = Instant::now();
        let timeouts = series.limit_first_media(began, job.session.timeouts);
        if session_template.timeouts != timeouts {
            Arc::make_mut(&mut session_template).timeouts = timeouts;
        }
        let attempt = find(
            job,
            &mut session_template,
            &mut sources,
            pump,
            candidates,
            &mut unpipelined,
            stop,
        );
        // Boxed, so that a download that waits for its next attempt needs little memory.
        let cause = Box::pin(attempt).await;
        pump.permit = None;
        if let Some(played) = pump.media_since(began) {
            series.reset();
            sources.note_media(played);
            lost = None;
        } else {
            pump.forget_relocation();
        }
        let facts = pump.facts();
        let is_live = facts.is_live && facts.has_media;
        let cause = match cause {
            // Node-Media-Server repeats its cache to each player after the publisher has left.
            EndCause::Session(End::TimedOut(Timeout::Silence)) if is_live && lost.is_some() => {
                EndCause::Session(End::TimedOut(Timeout::FirstMedia))
            }
            cause => cause,
        };
        if let Some(loss) = &mut lost
            && is_live
            && facts.is_playing
        {
            let is_disconnect = loss.is_disconnect && cause.is_disconnect();
            loss.is_without_publisher = is_disconnect && pump.has_failed_before_media();
        }
        if let Some(attempted) = &pump.attempted {
            pump.hints = hints(&cause, &facts, attempted, candidates.untried());
        }
        let (ending, reason) = judge(&cause, &facts);
        let may_switch = sources.has_fallbacks() && may_take_over(ending);
        let mut has_next_source = false;
        if may_switch {
            has_next_source = sources.advance(&session_template);
            session_template = sources.session();
            *candidates = Candidates::new(sources.candidates());
            pump.take_over(&sources, &reason);
        }
        if has_next_source {
            pump.report.source_lost();
            pump.rejoin_after(&reason);
            let is_worth_retry = series.is_lost(ending, &cause, &facts);
            lost.get_or_insert_with(|| Loss::of((ending, reason), &cause, is_worth_retry));
            continue;
        }
        // Another source of this round was lost, so that all of them are worth another attempt.
        let was_lost = may_switch && lost.as_ref().is_some_and(|lost| lost.is_worth_retry);
        let mut attempt = next_attempt(&mut series, (ending, &cause), &facts, was_lost);
        if let Some(attempt) = &mut attempt
            && attempt.is_patient
            && let Some(admission) = &job.admission
        {
            attempt.wait = admission.delay_of_poll(attempt.wait);
        }
        let replay = job.dialer.replay.as_ref();
        let is_replayed = replay.is_some_and(|sessions| sessions.is_over());
        let Some(attempt) = attempt.filter(|_| !is_replayed) else {
            return conclude(lost, (ending, reason), facts.has_media);
        };
        let retry = Retry {
            attempt: attempt.number,
            limit: attempt.limit,
            wait: attempt.wait,
            ending,
            reason,
        };
        pump.report.retry(&retry);
        pump.rejoin_after(&retry.reason);
        if !facts.has_media && !may_switch {
            session_template.clone_from(&session);
            *candidates = Candidates::new(&job.candidates);
        }
        lost.get_or_insert_with(|| Loss::of((retry.ending, retry.reason), &cause, true));
        let wait = replay.map_or(attempt.wait, |_| Duration::ZERO);
        let wait = tokio::time::sleep(wait);
        if let Err(cause) = Box::pin(pump.flush_while(wait, stop)).await {
            return conclude(lost, judge(&cause, &pump.facts()), facts.has_media);
        }
    }
}

/// Decides on the next attempt after one that ended with an ending and its cause. With `was_lost`, another attempt
/// is made for the sake of an earlier source.
fn next_attempt(
    series: &mut AttemptSeries,
    end: (Ending, &EndCause),
    facts: &Facts,
    was_lost: bool,
) -> Option<Attempt> {
    let mut rng: StdRng = rand::make_rng();
    let next = series.next(end, facts, Instant::now(), &mut rng);
    next.or_else(|| was_lost.then(|| series.repeat(&mut rng)).flatten())
}

/// The loss that started a series of attempts.
struct Loss {
    ending: Ending,
    reason: String,
    /// Whether the loss may be temporary. Used if other sources have taken over and failed.
    is_worth_retry: bool,
    /// Whether the server disconnected without giving a reason.
    is_disconnect: bool,
    /// Whether the server then also disconnected a player after Play.Start and before any media. xiu does so if
    /// a stream has no publisher.
    is_without_publisher: bool,
}

impl Loss {
    fn of((ending, reason): (Ending, String), cause: &EndCause, is_worth_retry: bool) -> Self {
        Self {
            ending,
            reason,
            is_worth_retry,
            is_disconnect: cause.is_disconnect(),
            is_without_publisher: false,
        }
    }
}

/// Whether another source may take over after this ending: the source failed or its stream is over, and neither
/// the user nor the output ended the download.
fn may_take_over(ending: Ending) -> bool {
    !ending.is_final() && ending != Ending::Interrupted
}

/// Returns the session configuration, completed with the hash and size of the SWF player.
async fn with_swf_proof(
    job: &Job,
    pump: &mut Pump<'_>,
    stop: &mut Stop,
) -> Result<Arc<Config>, EndCause> {
    let mut session = Arc::clone(&job.session);
    if let Some(player) = &job.player {
        // Boxed like the other rare steps of a download: every download would reserve its memory.
        let fingerprint = Box::pin(player.fingerprint(&job.dialer));
        match pump.flush_while(fingerprint, stop).await? {
            Ok(Fingerprint { hash, size }) => {
                Arc::make_mut(&mut session).swf_proof = Some(SwfProof { hash, size });
            }
            Err(error) => return Err(EndCause::Player(error)),
        }
    }
    if let Some(proof) = &session.swf_proof {
        log_swf_proof(proof);
    }
    Ok(session)
}

/// Returns the judgement of a series that started with the loss `lost` and ended with `last`.
///
/// `has_media` is whether any attempt of the download has received media.
fn conclude(lost: Option<Loss>, last: (Ending, String), has_media: bool) -> (Ending, String) {
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

/// Connects and plays, and reconnects at once for a redirect, a login, a plain handshake, fresh
/// keys, a server that cannot handle pipelining, or another candidate.
///
/// `session_template` is the configuration without redirects and logins. `unpipelined` lists the
/// servers that failed with pipelining.
async fn find(
    job: &Job,
    session_template: &mut Arc<Config>,
    sources: &mut Sources<'_>,
    pump: &mut Pump<'_>,
    candidates: &mut Candidates,
    unpipelined: &mut Vec<Endpoint>,
    stop: &mut Stop,
) -> EndCause {
    // The server may have moved the stream.
    let mut home = match pump.relocation() {
        Some(relocation) => relocation.clone(),
        None => (sources.route().clone(), Arc::clone(session_template)),
    };
    let (mut route, mut session) = (home.0.clone(), pump.resuming_session(&home.1));
    let mut login = None;
    let mut hops = 0;
    let mut has_fresh_keys = false;
    let mut playing: Option<Box<PlayingConnection>> = None;
    let mut before_move = None;
    loop {
        if playing.is_none()
            && let Err(cause) = Box::pin(admit(job, &route, pump, stop)).await
        {
            return before_move.unwrap_or(cause);
        }
        let begin = Instant::now();
        let waits = job.retry.wait != WaitPolicy::None;
        let attempted = Attempted::new(&route, &session, job.session.handshake, waits);
        pump.attempted = Some(attempted);
        let mut opened = match playing.take() {
            Some(playing) => playing,
            None => {
                pump.report.connecting(&route.endpoint);
                let mut facts = Box::<DialFacts>::default();
                let dial = Box::pin(job.dialer.dial(&route, &mut facts));
                let dialed = pump.flush_while(dial, stop).await;
                pump.report.dialed(&route, &facts);
                let stream = match dialed {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        note_dial_error(pump, &error);
                        return before_move.unwrap_or(EndCause::Dial(error));
                    }
                    Err(last) => return last,
                };
                let mut config = Arc::clone(&session);
                if unpipelined.contains(&route.endpoint) {
                    Arc::make_mut(&mut config).pipelining = false;
                }
                if let Some(connect) = &login {
                    Arc::make_mut(&mut config).connect.clone_from(connect);
                }
                open(job, stream, config, pump.reports_messages)
            }
        };
        let is_pipelined = opened.config.pipelines();
        let source = StreamSource {
            dialer: &job.dialer,
            route: &route,
            session: &opened.config,
            capture: job.capture.as_ref(),
            session_without_login: &session,
        };
        let client = &mut opened.client;
        let next = Box::pin(pump.run(opened.connection, client, &source, stop)).await;
        pump.report.session(client.facts());
        if let Some(attempted) = &mut pump.attempted {
            attempted.observe(client);
        }
        if !pump.facts().is_shaking_hands
            && let Some(permit) = &mut pump.permit
        {
            permit.succeeded();
        }
        match next {
            Next::Finish(last) if pump.may_need_plain_handshake(&last, &session) => {
                tracing::info!(
                    "the server closed the connection during the handshake, trying the plain handshake"
                );
                Arc::make_mut(&mut session).handshake = handshake::Mode::Plain;
            }
            Next::Finish(last)
                if !has_fresh_keys && pump.may_have_mismatched_keys(&last, client) =>
            {
                tracing::info!("the two sides may have derived different keys, trying new keys");
                has_fresh_keys = true;
            }
            // A server that has sent media can handle pipelining.
            Next::Finish(last)
                if is_pipelined
                    && !pump.has_media()
                    && pump.may_need_serial_commands(&last, client) =>
            {
                tracing::debug!(
                    "connect was not answered, connecting again to send one command at a time"
                );
                unpipelined.push(route.endpoint.clone());
            }
            Next::Finish(last) => {
                note_failed_handshake(pump, &last);
                if let Some(cause) = before_move.take_if(|_| pump.has_failed_to_start()) {
                    tracing::debug!("the requested connection failed: {last:?}");
                    return cause;
                }
                let is_prompt = begin.elapsed() < PROMPT && pump.has_failed_before_playing();
                if pump.has_media() || !suggests_other_candidate(&last, &session, is_prompt) {
                    return last;
                }
                match candidates.next(&session) {
                    Some(next) => {
                        session = Arc::new(next);
                        session_template.clone_from(&session);
                    }
                    None => return last,
                }
            }
            Next::PlayFrom { start_ms } => {
                tracing::info!(
                    "the stream does not contain the end of the file, requesting it again from {}.{:03} s",
                    start_ms / 1000,
                    start_ms % 1000
                );
                hops = 0;
                route.clone_from(&home.0);
                session = Arc::new(starting_at(start_ms, &home.1));
                login = None;
            }
            Next::Move(to) => {
                let Move { start, cause, .. } = *to;
                if to.is_return {
                    sources.return_to_first();
                    session_template.clone_from(&to.session);
                    pump.forget_relocation();
                }
                hops = 0;
                candidates.clear();
                home = (to.route, to.session);
                (route, session) = (home.0.clone(), pump.resuming_session(&home.1));
                (login, playing, before_move) = (None, to.playing, cause);
                let wait = tokio::time::sleep_until(start.into());
                if playing.is_none()
                    && let Err(cause) = Box::pin(pump.flush_while(wait, stop)).await
                {
                    return cause;
                }
            }
            Next::Follow(_) | Next::LogIn(_) if hops == MAX_HOPS => {
                return EndCause::RedirectRefused(format!("redirected more than {MAX_HOPS} times"));
            }
            Next::LogIn(connect) => {
                hops = hops.saturating_add(1);
                candidates.clear();
                login = Some(*connect);
            }
            Next::Follow(redirect) => {
                hops = hops.saturating_add(1);
                candidates.clear();
                login = None;
                match follow(&redirect, &session, &route) {
                    Ok((to, next)) => {
                        let handshake = job.session.handshake;
                        session = Arc::new(Config { handshake, ..next });
                        route = to;
                    }
                    Err(why) => return EndCause::RedirectRefused(why),
                }
            }
        }
    }
}

/// Prepares a session over `stream`. `keeps_answers` is whether its facts contain the answers of the server.
fn open(
    job: &Job,
    stream: Stream,
    config: Arc<Config>,
    keeps_answers: bool,
) -> Box<PlayingConnection> {
    let mut rng: StdRng = rand::make_rng();
    let mut client = Client::new(Arc::clone(&config), Instant::now(), &mut rng);
    capture::observe(job.capture.as_ref(), &mut client);
    if keeps_answers {
        client.keep_answers();
    }
    Box::new(PlayingConnection {
        connection: Connection::new(stream),
        client,
        config,
    })
}

/// Waits until a connection to the server may be made, if connections are limited.
async fn admit(
    job: &Job,
    route: &Route,
    pump: &mut Pump<'_>,
    stop: &mut Stop,
) -> Result<(), EndCause> {
    // The previous connection is closed, and its permit may be the last one.
    pump.permit = None;
    if let Some(admission) = &job.admission {
        let admitted = admission.admit(&route.endpoint);
        let admitted = pump.flush_while(admitted, stop).await?;
        pump.permit = Some(admitted.map_err(EndCause::HostFailed)?);
    }
    Ok(())
}

/// Starts the back-off of a server that cannot be reached.
fn note_dial_error(pump: &mut Pump<'_>, error: &DialError) {
    if let Some(permit) = &mut pump.permit {
        permit.failed(HostFailure {
            reason: error.to_string(),
            is_unreachable: matches!(error, DialError::Tcp { .. }),
        });
    }
}

/// Starts the back-off of a server that did not complete the handshake.
fn note_failed_handshake(pump: &mut Pump<'_>, cause: &EndCause) {
    let facts = pump.facts();
    let is_of_server = matches!(
        cause,
        EndCause::Session(_)
            | EndCause::Protocol(_)
            | EndCause::PeerClosed { .. }
            | EndCause::Broken(_)
    );
    if let Some(permit) = &mut pump.permit
        && facts.is_shaking_hands
        && is_of_server
    {
        permit.failed(HostFailure {
            reason: judge(cause, &facts).1,
            is_unreachable: false,
        });
    }
}

/// Returns a session that requests the stream from `start_ms` on.
pub(super) fn starting_at(start_ms: u32, session: &Config) -> Config {
    let rest_ms = |length_ms: u32| length_ms.saturating_sub(start_ms);
    Config {
        start: Start::At { ms: start_ms },
        length_ms: session.length_ms.map(rest_ms),
        ..session.clone()
    }
}

/// Logs the hash and the size of the player, in rtmpdump's layout.
fn log_swf_proof(proof: &SwfProof) {
    tracing::debug!("SWFSHA256:");
    for row in proof.hash.chunks(16) {
        let row: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::debug!("{}", row.join(" "));
    }
    tracing::debug!("SWFSize  : {}", proof.size);
}

/// Largest number of redirects and logins that are followed.
pub(super) const MAX_HOPS: u32 = 5;

/// Time within which a close counts as the answer to an unknown app. A later close may have any
/// cause.
const PROMPT: Duration = Duration::from_secs(5);

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
