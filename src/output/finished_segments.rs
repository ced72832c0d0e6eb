//! Reports of finished segments.

use std::{collections::VecDeque, time::Instant};

use super::{
    SegmentFacts, SegmentOptions,
    hook::{Hook, HookFacts},
    manifest::Manifest,
};

/// Reports each finished segment to the manifest, the hook, and the caller.
#[derive(Debug)]
pub(super) struct FinishedSegments {
    manifest: Option<Manifest>,
    hook: Option<Hook>,
    /// Segments that the caller has not taken yet.
    unreported: VecDeque<SegmentFacts>,
}

impl FinishedSegments {
    pub(super) fn new(options: &SegmentOptions) -> Self {
        Self {
            manifest: options.manifest.clone().map(Manifest::new),
            hook: Hook::new("--on-segment", &options.on_segment),
            unreported: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, facts: SegmentFacts) {
        if let Some(manifest) = &mut self.manifest {
            manifest.add(&facts);
        }
        if let Some(hook) = &mut self.hook {
            hook.run(HookFacts::of_segment(facts.clone()));
        }
        self.unreported.push_back(facts);
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
