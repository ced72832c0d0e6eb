//! One pool of message buffers for all downloads of a thread.

use std::{cell::Cell, mem};

use crate::core::{payload::Pool, rtmp::client::Client};

thread_local! {
    /// The pool of this thread while no download uses it.
    static POOL: Cell<Option<Box<Pool>>> = const { Cell::new(None) };
}

/// Lends the pool of this thread to `client` while `work` runs.
///
/// A download needs many buffers shortly before it writes them, and few afterwards. Downloads write at different
/// times, so a common pool needs half the memory.
pub(super) fn with_shared_pool<T>(client: &mut Client, work: impl FnOnce(&mut Client) -> T) -> T {
    let mut pool = POOL.take().unwrap_or_default();
    mem::swap(client.pool_mut(), &mut *pool);
    let result = work(client);
    mem::swap(client.pool_mut(), &mut *pool);
    POOL.set(Some(pool));
    result
}
