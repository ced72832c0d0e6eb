//! The program that is run for each part.

use std::{
    io,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use tokio::sync::mpsc as async_mpsc;

use super::SegmentFacts;

/// Runs a program for one part after another, beside the recording, which never waits for it.
#[derive(Debug)]
pub(super) struct Hook {
    words: Arc<[String]>,
    parts: mpsc::Sender<SegmentFacts>,
    waiting: Arc<Mutex<mpsc::Receiver<SegmentFacts>>>,
    ended: async_mpsc::UnboundedReceiver<()>,
    ending: async_mpsc::UnboundedSender<()>,
    begun: Arc<AtomicUsize>,
    threads: usize,
    sent: usize,
    done: usize,
}

impl Hook {
    /// A program and its arguments; none without words.
    pub(super) fn new(words: &[String]) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let (parts, waiting) = mpsc::channel();
        let (ending, ended) = async_mpsc::unbounded_channel();
        Some(Self {
            words: words.into(),
            parts,
            waiting: Arc::new(Mutex::new(waiting)),
            ended,
            ending,
            begun: Arc::default(),
            threads: 0,
            sent: 0,
            done: 0,
        })
    }

    /// Has the program run for a part, as soon as few enough others run.
    pub(super) fn run(&mut self, facts: SegmentFacts) {
        while self.ended.try_recv().is_ok() {
            self.done += 1;
        }
        let under_way = self.sent - self.done;
        if under_way >= MAX_WAITING {
            tracing::warn!(
                "--on-segment is not run for {}: {under_way} wait",
                facts.path
            );
            return;
        }
        if under_way >= self.threads && self.threads < MAX_RUNNING {
            match self.start_thread() {
                Ok(()) => self.threads += 1,
                Err(error) => tracing::warn!("no thread for --on-segment: {error}"),
            }
        }
        if self.threads > 0 && self.parts.send(facts).is_ok() {
            self.sent += 1;
        }
    }

    /// Waits until none runs any more, or until `deadline`. Cancelling loses nothing.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        while self.done < self.sent {
            let ended = tokio::time::timeout_at(deadline.into(), self.ended.recv());
            if !matches!(ended.await, Ok(Some(()))) {
                return;
            }
            self.done += 1;
        }
    }

    /// Tells of those that still run, and of parts that it never was run for.
    pub(super) fn leave(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        match begun.saturating_sub(self.done) {
            0 => {}
            1 => tracing::warn!("--on-segment still runs for a part, and is left running"),
            running => {
                tracing::warn!("--on-segment still runs for {running} parts, and is left running")
            }
        }
        let never_begun = self.sent.saturating_sub(begun);
        if never_begun > 0 {
            tracing::warn!(
                "--on-segment was not run for {never_begun} parts, since others took long"
            );
        }
    }

    fn start_thread(&self) -> io::Result<()> {
        let words = Arc::clone(&self.words);
        let waiting = Arc::clone(&self.waiting);
        let begun = Arc::clone(&self.begun);
        let ending = self.ending.clone();
        let serve = move || {
            while let Some(facts) = next(&waiting) {
                begun.fetch_add(1, Ordering::SeqCst);
                run(&words, &facts);
                if ending.send(()).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("on-segment".to_owned());
        thread.stack_size(128 * 1024).spawn(serve).map(drop)
    }
}

/// The next part, in order; none once the recording is over.
fn next(waiting: &Mutex<mpsc::Receiver<SegmentFacts>>) -> Option<SegmentFacts> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.recv().ok()
}

/// Runs the program to its end. What goes wrong is told, and changes nothing else.
fn run(words: &[String], facts: &SegmentFacts) {
    let SegmentFacts { path, .. } = facts;
    match command(words, facts).and_then(|mut command| command.status()) {
        Ok(status) if status.success() => tracing::debug!("--on-segment for {path}: {status}"),
        Ok(status) => tracing::warn!("--on-segment for {path}: {status}"),
        Err(error) => tracing::warn!("cannot run --on-segment for {path}: {error}"),
    }
}

fn command(words: &[String], facts: &SegmentFacts) -> io::Result<Command> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("RTMPULL_PATH", &facts.path)
        .env("RTMPULL_SEGMENT", facts.segment.to_string())
        .env("RTMPULL_OFFSET_MS", facts.offset_ms.to_string())
        .env("RTMPULL_DURATION_MS", facts.duration_ms.to_string())
        .env("RTMPULL_BYTES", facts.bytes.to_string())
        .env("RTMPULL_START", &facts.start)
        .stdin(Stdio::null())
        // Ours may be where a recording goes.
        .stdout(io::stderr());
    leave_alone(&mut command);
    Ok(command)
}

/// A Ctrl-C that ends the recording is not for a program that has to do with a part of it.
#[cfg(unix)]
fn leave_alone(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn leave_alone(_: &mut Command) {}

/// Programs at a time: some upload, and one that hangs does not hold up the others.
const MAX_RUNNING: usize = 4;

/// Parts that wait for a program: months of parts of an hour, or what a server whose clock leaps can
/// cause in a moment.
const MAX_WAITING: usize = 10_000;

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use super::*;

    fn facts(segment: u32) -> SegmentFacts {
        SegmentFacts {
            path: format!("cam-{segment}.flv"),
            segment,
            offset_ms: 1_200,
            duration_ms: 600,
            bytes: 50_000,
            start: "2026-11-22T20:15:00.000+01:00".to_owned(),
        }
    }

    fn script(text: &str) -> Hook {
        Hook::new(&["sh", "-c", text].map(str::to_owned)).unwrap()
    }

    async fn finish(hook: &mut Hook) {
        hook.finish(Instant::now() + Duration::from_secs(20)).await;
        assert_eq!(hook.done, hook.sent, "all have ended");
    }

    fn read(file: &Path) -> String {
        fs::read_to_string(file).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_facts_are_in_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        // The tests' own variable is none of its facts.
        let facts_of = "env | grep ^RTMPULL_ | grep -v ^RTMPULL_REQUIRE_PEERS | sort";
        let mut hook = script(&format!("{facts_of} > {}", file.display()));
        hook.run(facts(3));
        finish(&mut hook).await;
        let expected = "RTMPULL_BYTES=50000\nRTMPULL_DURATION_MS=600\nRTMPULL_OFFSET_MS=1200\n\
             RTMPULL_PATH=cam-3.flv\nRTMPULL_SEGMENT=3\nRTMPULL_START=2026-11-22T20:15:00.000+01:00\n";
        assert_eq!(read(&file), expected);
    }

    #[tokio::test]
    async fn one_that_fails_or_is_not_there_holds_up_nothing() {
        for words in [&["false"][..], &["/nowhere/at/all"]] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let mut hook = Hook::new(&words).unwrap();
            (1..=10).for_each(|segment| hook.run(facts(segment)));
            finish(&mut hook).await;
        }
        assert!(Hook::new(&[]).is_none());
    }

    #[tokio::test]
    async fn four_at_a_time_run_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let (began, go) = (folder.path().join("began"), folder.path().join("go"));
        let text = format!(
            "echo $RTMPULL_SEGMENT >> {}; until [ -e {} ]; do sleep 0.01; done",
            began.display(),
            go.display()
        );
        let mut hook = script(&text);
        (1..=6).for_each(|segment| hook.run(facts(segment)));
        while read(&began).lines().count() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        hook.finish(Instant::now() + Duration::from_millis(100))
            .await;
        assert_eq!(read(&began).lines().count(), 4);
        assert_eq!((hook.sent, hook.begun.load(Ordering::SeqCst)), (6, 4));
        fs::write(go, "").unwrap();
        finish(&mut hook).await;
        assert_eq!(read(&began).lines().count(), 6);
        // What is idle again is used again.
        hook.run(facts(7));
        finish(&mut hook).await;
        assert!(hook.threads <= 4 && read(&began).ends_with("7\n"));
    }
}
