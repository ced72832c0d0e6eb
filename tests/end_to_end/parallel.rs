//! Parallel execution of test cases.

use std::{panic, thread};

/// Runs `check` for all `cases` in parallel, because most of them only wait. Panics with the first
/// failure after all cases have ended.
pub fn for_each<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        let cases = cases.into_iter();
        let threads: Vec<_> = cases.map(|case| scope.spawn(move || check(case))).collect();
        for thread in threads {
            if let Err(cause) = thread.join() {
                panic::resume_unwind(cause);
            }
        }
    });
}
