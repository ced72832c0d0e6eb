//! The series of attempts: reconnects after a loss, and other sources.

mod attempt;
mod loss;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

pub(super) use self::attempt::{MAX_HOPS, starting_at};
use self::{
    attempt::Attempt,
    loss::{Loss, conclude},
};
use super::{
    Ending, Job, Retry, Stop,
    candidates::Candidates,
    hint::hints,
    outcome::{EndCause, Facts, judge},
    pump::Pump,
    retry::{AttemptSeries, NextAttempt},
    sources::Sources,
};
use crate::{
    core::{
        rtmp::client::{
            End, Timeout,
            config::{Config, SwfProof},
        },
        swf::Fingerprint,
    },
    transport::Endpoint,
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
    let session = match Box::pin(with_swf_proof(job, pump, stop)).await {
        Ok(session) => session,
        Err(cause) => return judge(&cause, &pump.facts()),
    };
    let series = Series {
        job,
        pump,
        candidates,
        stop,
        template: Arc::clone(&session),
        sources: Sources::new(job, &session),
        session,
        policy: AttemptSeries::new(job.retry),
        lost: None,
        unpipelined: Vec::new(),
    };
    series.run().await
}

/// The state that the attempts of one download share.
struct Series<'a, 'p> {
    job: &'a Job,
    pump: &'a mut Pump<'p>,
    candidates: &'a mut Candidates,
    stop: &'a mut Stop,
    /// Configuration of the first source, with the first split of its URL path.
    session: Arc<Config>,
    /// Configuration of the next attempt, without redirects and logins.
    template: Arc<Config>,
    sources: Sources<'a>,
    policy: AttemptSeries,
    /// The loss that started the current series; `None` if media has arrived since.
    lost: Option<Loss>,
    /// Servers that failed with pipelining.
    unpipelined: Vec<Endpoint>,
}

impl Series<'_, '_> {
    /// Makes attempts until one of them ends the download.
    async fn run(mut self) -> (Ending, String) {
        loop {
            let (cause, facts) = self.attempt().await;
            let (ending, reason) = judge(&cause, &facts);
            let may_switch = self.sources.has_fallbacks() && may_take_over(ending);
            if may_switch && self.switch_source(&reason) {
                let is_worth_retry = self.policy.is_lost(ending, &cause, &facts);
                let loss = || Loss::of((ending, reason), &cause, is_worth_retry);
                self.lost.get_or_insert_with(loss);
                continue;
            }
            let Some(next) = self.next_attempt((ending, &cause), &facts, may_switch) else {
                return conclude(self.lost, (ending, reason), facts.has_media);
            };
            let retry = Retry {
                attempt: next.number,
                limit: next.limit,
                wait: next.wait,
                ending,
                reason,
            };
            self.pump.report.retry(&retry);
            self.pump.rejoin_after(&retry.reason);
            if !facts.has_media && !may_switch {
                self.template.clone_from(&self.session);
                *self.candidates = Candidates::new(&self.job.candidates);
            }
            let loss = || Loss::of((retry.ending, retry.reason), &cause, true);
            self.lost.get_or_insert_with(loss);
            if let Err(cause) = self.wait(next.wait).await {
                let last = judge(&cause, &self.pump.facts());
                return conclude(self.lost, last, facts.has_media);
            }
        }
    }

    /// Makes one attempt, notes its result, and returns why it ended with the facts to judge that.
    async fn attempt(&mut self) -> (EndCause, Facts) {
        let began = Instant::now();
        let timeouts = self
            .policy
            .limit_first_media(began, self.job.session.timeouts);
        if self.template.timeouts != timeouts {
            Arc::make_mut(&mut self.template).timeouts = timeouts;
        }
        // Boxed, so that a download that waits for its next attempt needs little memory.
        let cause = Box::pin(Attempt::new(self).run()).await;
        self.pump.permit = None;
        if let Some(played) = self.pump.media_since(began) {
            self.policy.reset();
            self.sources.note_media(played);
            self.lost = None;
        } else {
            self.pump.forget_relocation();
        }
        let facts = self.pump.facts();
        let is_live = facts.is_live && facts.has_media;
        let cause = match cause {
            // Node-Media-Server repeats its cache to each player after the publisher has left.
            EndCause::Session(End::TimedOut(Timeout::Silence))
                if is_live && self.lost.is_some() =>
            {
                EndCause::Session(End::TimedOut(Timeout::FirstMedia))
            }
            cause => cause,
        };
        if let Some(loss) = &mut self.lost
            && is_live
            && facts.is_playing
        {
            let is_disconnect = loss.is_disconnect && cause.is_disconnect();
            loss.is_without_publisher = is_disconnect && self.pump.has_failed_before_media();
        }
        if let Some(attempted) = &self.pump.attempted {
            self.pump.hints = hints(&cause, &facts, attempted, self.candidates.untried());
        }
        (cause, facts)
    }

    /// Switches to the next source. Returns whether it is worth an attempt at once.
    fn switch_source(&mut self, reason: &str) -> bool {
        let has_next = self.sources.advance(&self.template);
        self.template = self.sources.session();
        *self.candidates = Candidates::new(self.sources.candidates());
        self.pump.take_over(&self.sources, reason);
        if has_next {
            self.pump.report.source_lost();
            self.pump.rejoin_after(reason);
        }
        has_next
    }

    /// Decides on the next attempt after one that ended with an ending and its cause. `may_switch` is whether
    /// another source may take over.
    fn next_attempt(
        &mut self,
        end: (Ending, &EndCause),
        facts: &Facts,
        may_switch: bool,
    ) -> Option<NextAttempt> {
        let mut rng: StdRng = rand::make_rng();
        let mut next = self.policy.next(end, facts, Instant::now(), &mut rng);
        // Another source of this round was lost, so that all of them are worth another attempt.
        let was_lost = self.lost.as_ref().is_some_and(|lost| lost.is_worth_retry);
        if next.is_none() && may_switch && was_lost {
            next = self.policy.repeat(&mut rng);
        }
        if let Some(next) = &mut next
            && next.is_patient
            && let Some(admission) = &self.job.admission
        {
            next.wait = admission.delay_of_poll(next.wait);
        }
        let replay = self.job.dialer.replay.as_ref();
        next.filter(|_| !replay.is_some_and(|sessions| sessions.is_over()))
    }

    /// Waits before the next attempt. The sessions of a capture follow each other at once.
    async fn wait(&mut self, wait: Duration) -> Result<(), EndCause> {
        let replay = self.job.dialer.replay.as_ref();
        let wait = tokio::time::sleep(replay.map_or(wait, |_| Duration::ZERO));
        Box::pin(self.pump.flush_while(wait, self.stop)).await
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

/// Logs the hash and the size of the player, in rtmpdump's layout.
fn log_swf_proof(proof: &SwfProof) {
    tracing::debug!("SWFSHA256:");
    for row in proof.hash.chunks(16) {
        let row: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::debug!("{}", row.join(" "));
    }
    tracing::debug!("SWFSize  : {}", proof.size);
}
