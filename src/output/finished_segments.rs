//! Reports of finished segments.

use std::{collections::VecDeque, path::Path, time::Instant};

use jiff::Timestamp;

use super::{
    SegmentFacts, SegmentOptions,
    hook::{Hook, HookFacts},
    manifest::Manifest,
    retention::Retention,
};

/// Reports each finished segment to the manifest, the hook, and the caller.
#[derive(Debug)]
pub(super) struct FinishedSegments {
    manifest: Option<Manifest>,
    retention: Option<Retention>,
    hook: Option<Hook>,
    /// Segments that the caller has not taken yet.
    unreported: VecDeque<SegmentFacts>,
}

impl FinishedSegments {
    pub(super) fn new(options: &SegmentOptions) -> Self {
        Self {
            manifest: options.manifest.clone().map(Manifest::new),
            retention: options
                .manifest
                .clone()
                .filter(|_| options.keep.deletes())
                .map(|manifest| Retention::new(options.keep, manifest)),
            hook: Hook::new("--on-segment", &options.on_segment),
            unreported: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, facts: SegmentFacts) {
        if let Some(manifest) = &mut self.manifest {
            manifest.add(&facts);
        }
        if let Some(retention) = &mut self.retention {
            retention.add(&facts);
        }
        if let Some(hook) = &mut self.hook {
            hook.run(HookFacts::of_segment(facts.clone()));
        }
        self.unreported.push_back(facts);
    }

    /// Deletes segments that are too old or too large together, except for the one at `current`, which is being
    /// written.
    pub(super) fn delete_old(&mut self, now: Timestamp, current: Option<&Path>) {
        if let (Some(retention), Some(manifest)) = (&mut self.retention, &mut self.manifest) {
            retention.apply(now, current, manifest);
        }
    }

    /// Returns the oldest segment that was not returned before.
    pub(super) fn take(&mut self) -> Option<SegmentFacts> {
        self.unreported.pop_front()
    }

    /// Waits for the running hooks, until `deadline`. The future may be dropped and created again.
    pub(super) async fn finish_hooks(&mut self, deadline: Instant) {
        if let Some(hook) = &mut self.hook {
            hook.finish(deadline).await;
        }
    }

    /// Logs the hooks that are still running or were never started.
    pub(super) fn abandon_hooks(&self) {
        if let Some(hook) = &self.hook {
            hook.abandon();
        }
    }
}
