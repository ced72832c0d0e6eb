//! Changes to a download that only describes the stream.

use std::{sync::Arc, time::Duration};

use crate::download::{Job, retry::RetryPolicy};

/// Returns the download of a probe: one attempt, and no tricks that change when the media arrives.
pub(in crate::cli) fn for_probe(mut job: Job) -> Job {
    job.retry = RetryPolicy::default();
    let session = Arc::make_mut(&mut job.session);
    session.republish_wait = Duration::ZERO;
    session.pause_unpause = false;
    job
}
