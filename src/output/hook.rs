//! The program that runs for each finished segment (`--on-segment`).

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

/// Runs a program for each segment, in order of completion.
///
/// The recording never waits for a program: up to [`MAX_RUNNING`] threads start the programs and wait for
/// them, and further segments are queued.
#[derive(Debug)]
pub(super) struct Hook {
    words: Arc<[String]>,
    segments: mpsc::Sender<SegmentFacts>,
    /// Shared by the threads.
    queue: Arc<Mutex<mpsc::Receiver<SegmentFacts>>>,
    /// A message for each program that has ended.
    ended: async_mpsc::UnboundedReceiver<()>,
    ended_sender: async_mpsc::UnboundedSender<()>,
    started: Arc<AtomicUsize>,
    threads: usize,
    queued: usize,
    done: usize,
}

impl Hook {
    /// Creates a hook for a program and its arguments. Returns `None` if `words` is empty.
    pub(super) fn new(words: &[String]) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let (segments, queue) = mpsc::channel();
        let (ended_sender, ended) = async_mpsc::unbounded_channel();
        Some(Self {
            words: words.into(),
            segments,
            queue: Arc::new(Mutex::new(queue)),
            ended,
            ended_sender,
            started: Arc::default(),
            threads: 0,
            queued: 0,
            done: 0,
        })
    }

    /// Queues a run of the program for a segment.
    pub(super) fn run(&mut self, facts: SegmentFacts) {
        while self.ended.try_recv().is_ok() {
            self.done += 1;
        }
        let pending = self.queued - self.done;
        if pending >= MAX_PENDING {
            tracing::warn!(
                "--on-segment does not run for {}: {pending} segments are waiting",
                facts.path
            );
            return;
        }
        if pending >= self.threads && self.threads < MAX_RUNNING {
            match self.start_thread() {
                Ok(()) => self.threads += 1,
                Err(error) => tracing::warn!("cannot start a thread for --on-segment: {error}"),
            }
        }
        if self.threads > 0 && self.segments.send(facts).is_ok() {
            self.queued += 1;
        }
    }

    /// Waits until all programs have ended, or until `deadline`. The future may be dropped and created again.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        while self.done < self.queued {
            let ended = tokio::time::timeout_at(deadline.into(), self.ended.recv());
            if !matches!(ended.await, Ok(Some(()))) {
                return;
            }
            self.done += 1;
        }
    }

    /// Logs the programs that are still running, and the segments that none was started for.
    pub(super) fn abandon(&self) {
        let started = self.started.load(Ordering::SeqCst);
        let running = started.saturating_sub(self.done);
        if running > 0 {
            tracing::warn!("--on-segment is still running for {running} segments");
        }
        let not_started = self.queued.saturating_sub(started);
        if not_started > 0 {
            tracing::warn!(
                "--on-segment did not run for {not_started} segments: earlier runs took too long"
            );
        }
    }

    fn start_thread(&self) -> io::Result<()> {
        let words = Arc::clone(&self.words);
        let queue = Arc::clone(&self.queue);
        let started = Arc::clone(&self.started);
        let ended = self.ended_sender.clone();
        let serve = move || {
            while let Some(facts) = next(&queue) {
                started.fetch_add(1, Ordering::SeqCst);
                run(&words, &facts);
                if ended.send(()).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("on-segment".to_owned());
        thread.stack_size(128 * 1024).spawn(serve).map(drop)
    }
}

/// Returns the next segment, or `None` after the end of the recording.
fn next(queue: &Mutex<mpsc::Receiver<SegmentFacts>>) -> Option<SegmentFacts> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.recv().ok()
}

/// Runs the program to its end. Failures are logged and have no other effect.
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
        // The standard output of rtmpull may be a recording.
        .stdout(io::stderr());
    detach(&mut command);
    Ok(command)
}

/// Puts the program into its own process group: Ctrl-C ends the recording, not the program that processes
/// a finished segment.
#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn detach(_: &mut Command) {}

/// Number of programs at a time. Uploads are slow, and a program that hangs must not block the others.
const MAX_RUNNING: usize = 4;

/// Number of segments that wait for a program: months with segments of an hour. A server whose clock jumps
/// can cause many segments at once.
const MAX_PENDING: usize = 10_000;

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
        assert_eq!(hook.done, hook.queued, "all programs have ended");
    }

    fn read(file: &Path) -> String {
        fs::read_to_string(file).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_facts_are_environment_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("environment");
        // A variable of the tests themselves.
        let facts_of = "env | grep ^RTMPULL_ | grep -v ^RTMPULL_REQUIRE_PEERS | sort";
        let mut hook = script(&format!("{facts_of} > {}", file.display()));
        hook.run(facts(3));
        finish(&mut hook).await;
        let expected = "RTMPULL_BYTES=50000\nRTMPULL_DURATION_MS=600\nRTMPULL_OFFSET_MS=1200\n\
             RTMPULL_PATH=cam-3.flv\nRTMPULL_SEGMENT=3\nRTMPULL_START=2026-11-22T20:15:00.000+01:00\n";
        assert_eq!(read(&file), expected);
    }

    #[tokio::test]
    async fn a_program_that_fails_or_does_not_exist_blocks_nothing() {
        for words in [&["false"][..], &["/nowhere/at/all"]] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let mut hook = Hook::new(&words).unwrap();
            (1..=10).for_each(|segment| hook.run(facts(segment)));
            finish(&mut hook).await;
        }
        assert!(Hook::new(&[]).is_none());
    }

    #[tokio::test]
    async fn four_programs_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (started, go) = (folder.path().join("started"), folder.path().join("go"));
        let text = format!(
            "echo $RTMPULL_SEGMENT >> {}; until [ -e {} ]; do sleep 0.01; done",
            started.display(),
            go.display()
        );
        let mut hook = script(&text);
        (1..=6).for_each(|segment| hook.run(facts(segment)));
        while read(&started).lines().count() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        hook.finish(Instant::now() + Duration::from_millis(100))
            .await;
        assert_eq!(read(&started).lines().count(), 4);
        assert_eq!((hook.queued, hook.started.load(Ordering::SeqCst)), (6, 4));
        fs::write(go, "").unwrap();
        finish(&mut hook).await;
        assert_eq!(read(&started).lines().count(), 6);
        // Idle threads are reused.
        hook.run(facts(7));
        finish(&mut hook).await;
        assert!(hook.threads <= 4 && read(&started).ends_with("7\n"));
    }
}
