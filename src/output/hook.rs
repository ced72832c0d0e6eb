//! Programs that run for each finished segment (`--on-segment`) and when media arrives (`--on-start`).

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

/// Runs a program for each segment or arrival of media, in order.
///
/// The recording never waits for a program: up to [`MAX_RUNNING`] threads start the programs and wait for
/// them, and further runs are queued.
#[derive(Debug)]
pub(super) struct Hook {
    command: Arc<HookCommand>,
    runs: mpsc::Sender<HookFacts>,
    /// Shared by the threads.
    queue: Arc<Mutex<mpsc::Receiver<HookFacts>>>,
    /// A message for each program that has ended.
    ended: async_mpsc::UnboundedReceiver<()>,
    ended_sender: async_mpsc::UnboundedSender<()>,
    started: Arc<AtomicUsize>,
    threads: usize,
    queued: usize,
    done: usize,
}

/// Option that names a program, and the words of the command.
#[derive(Debug)]
struct HookCommand {
    option: &'static str,
    words: Vec<String>,
}

/// Facts for one run of a program.
#[derive(Debug)]
pub(super) struct HookFacts {
    /// Facts of the segment; of a segment that is being written, as far as it is written.
    segment: SegmentFacts,
    reason: Option<StartReason>,
}

/// Why `--on-start` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartReason {
    /// The first frame has arrived.
    Start,
    /// The first frame after a gap has arrived.
    Gap,
}

impl HookFacts {
    pub(super) fn of_segment(segment: SegmentFacts) -> Self {
        Self {
            segment,
            reason: None,
        }
    }

    pub(super) fn of_start(segment: SegmentFacts, reason: StartReason) -> Self {
        Self {
            segment,
            reason: Some(reason),
        }
    }

    /// Returns the names and values of all facts.
    fn values(&self) -> Vec<(&'static str, String)> {
        let SegmentFacts {
            path,
            segment,
            offset_ms,
            duration_ms,
            bytes,
            start,
        } = &self.segment;
        let values = [
            path.clone(),
            segment.to_string(),
            offset_ms.to_string(),
            duration_ms.to_string(),
            bytes.to_string(),
            start.clone(),
        ];
        let reason = self.reason.map(|reason| match reason {
            StartReason::Start => "start".to_owned(),
            StartReason::Gap => "gap".to_owned(),
        });
        let values = values.into_iter().chain(reason);
        START_FACTS.into_iter().zip(values).collect()
    }
}

impl Hook {
    /// Creates a hook for a program and its arguments. Returns `None` if `words` is empty. `option` names the
    /// hook in messages.
    pub(super) fn new(option: &'static str, words: &[String]) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let words = words.to_owned();
        let (runs, queue) = mpsc::channel();
        let (ended_sender, ended) = async_mpsc::unbounded_channel();
        Some(Self {
            command: Arc::new(HookCommand { option, words }),
            runs,
            queue: Arc::new(Mutex::new(queue)),
            ended,
            ended_sender,
            started: Arc::default(),
            threads: 0,
            queued: 0,
            done: 0,
        })
    }

    /// Queues a run of the program.
    pub(super) fn run(&mut self, facts: HookFacts) {
        let option = self.command.option;
        while self.ended.try_recv().is_ok() {
            self.done = self.done.saturating_add(1);
        }
        let pending = self.queued.saturating_sub(self.done);
        if pending >= MAX_PENDING {
            tracing::warn!(
                "{option} does not run for {}: {pending} earlier runs are waiting",
                facts.segment.path
            );
            return;
        }
        if pending >= self.threads && self.threads < MAX_RUNNING {
            match self.start_thread() {
                Ok(()) => self.threads = self.threads.saturating_add(1),
                Err(error) => tracing::warn!("cannot start a thread for {option}: {error}"),
            }
        }
        if self.threads > 0 && self.runs.send(facts).is_ok() {
            self.queued = self.queued.saturating_add(1);
        }
    }

    /// Waits until all programs have ended, or until `deadline`. The future may be dropped and created again.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        while self.done < self.queued {
            let ended = tokio::time::timeout_at(deadline.into(), self.ended.recv());
            if !matches!(ended.await, Ok(Some(()))) {
                return;
            }
            self.done = self.done.saturating_add(1);
        }
    }

    /// Logs how many programs are still running, and how many were never started.
    pub(super) fn abandon(&self) {
        let option = self.command.option;
        let started = self.started.load(Ordering::SeqCst);
        let running = started.saturating_sub(self.done);
        if running > 0 {
            tracing::warn!("{option}: programs still running: {running}");
        }
        let not_started = self.queued.saturating_sub(started);
        if not_started > 0 {
            tracing::warn!(
                "{option}: programs not started because earlier ones took too long: {not_started}"
            );
        }
    }

    fn start_thread(&self) -> io::Result<()> {
        let command = Arc::clone(&self.command);
        let queue = Arc::clone(&self.queue);
        let started = Arc::clone(&self.started);
        let ended = self.ended_sender.clone();
        let serve = move || {
            while let Some(facts) = next(&queue) {
                started.fetch_add(1, Ordering::SeqCst);
                command.run(&facts);
                if ended.send(()).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("hook".to_owned());
        thread.stack_size(128 * 1024).spawn(serve).map(drop)
    }
}

impl HookCommand {
    /// Runs the program to its end. Failures are logged and have no other effect.
    fn run(&self, facts: &HookFacts) {
        let (option, path) = (self.option, &facts.segment.path);
        let status = self.process(facts).and_then(|mut process| process.status());
        match status {
            Ok(status) if status.success() => tracing::debug!("{option} for {path}: {status}"),
            Ok(status) => tracing::warn!("{option} for {path}: {status}"),
            Err(error) => tracing::warn!("cannot run {option} for {path}: {error}"),
        }
    }

    fn process(&self, facts: &HookFacts) -> io::Result<Command> {
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let facts = facts.values();
        let mut process = Command::new(program);
        process.args(arguments.iter().map(|word| replaced(word, &facts)));
        for (name, value) in &facts {
            process.env(format!("RTMPULL_{}", name.to_ascii_uppercase()), value);
        }
        process
            .stdin(Stdio::null())
            // The standard output of rtmpull may be a recording.
            .stdout(io::stderr());
        detach(&mut process);
        Ok(process)
    }
}

/// Returns the fact that a word such as `{path}` stands for, or the word itself.
///
/// Only complete words are replaced. Within a longer word, such as the script of a shell, the characters of a
/// path would be run as code.
fn replaced<'a>(word: &'a str, facts: &'a [(&str, String)]) -> &'a str {
    let name = word
        .strip_prefix('{')
        .and_then(|word| word.strip_suffix('}'));
    let fact = facts.iter().find(|(fact, _)| Some(*fact) == name);
    fact.map_or(word, |(_, value)| value)
}

/// Returns the facts of the next run, or `None` after the end of the recording.
fn next(queue: &Mutex<mpsc::Receiver<HookFacts>>) -> Option<HookFacts> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.recv().ok()
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

/// Names of the facts for `--on-segment`, as in `{path}` and `RTMPULL_PATH`.
pub const SEGMENT_FACTS: [&str; 6] = [
    "path",
    "segment",
    "offset_ms",
    "duration_ms",
    "bytes",
    "start",
];

/// Names of the facts for `--on-start`.
pub const START_FACTS: [&str; 7] = [
    "path",
    "segment",
    "offset_ms",
    "duration_ms",
    "bytes",
    "start",
    "reason",
];

/// Largest number of programs that run at the same time. Uploads are slow, and a program that hangs must not block the others.
const MAX_RUNNING: usize = 4;

/// Largest number of runs that wait to be started: more than a year of segments of one hour. A server whose
/// clock jumps can cause many segments at once.
const MAX_PENDING: usize = 10_000;

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use super::*;

    fn facts(segment: u32) -> HookFacts {
        HookFacts::of_segment(segment_facts(segment))
    }

    fn segment_facts(segment: u32) -> SegmentFacts {
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
        Hook::new("--on-segment", &["sh", "-c", text].map(str::to_owned)).unwrap()
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
        let mut hook = script(&format!("env | grep ^RTMPULL_ | sort > {}", file.display()));
        hook.run(facts(3));
        finish(&mut hook).await;
        let expected = "RTMPULL_BYTES=50000\nRTMPULL_DURATION_MS=600\nRTMPULL_OFFSET_MS=1200\n\
             RTMPULL_PATH=cam-3.flv\nRTMPULL_SEGMENT=3\nRTMPULL_START=2026-11-22T20:15:00.000+01:00\n";
        let variables = read(&file);
        // The tests themselves have variables with the same prefix.
        let is_fact = |line: &&str| {
            let name = line.split('=').next();
            name.is_some_and(|name| std::env::var_os(name).is_none())
        };
        let facts: String = variables.split_inclusive('\n').filter(is_fact).collect();
        assert_eq!(facts, expected);
    }

    #[tokio::test]
    async fn the_reason_of_a_start_is_a_fact() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reasons");
        for (reason, word) in [(StartReason::Start, "start"), (StartReason::Gap, "gap")] {
            let mut hook = script(&format!(
                r#"echo "$RTMPULL_PATH $RTMPULL_REASON" > {}"#,
                file.display()
            ));
            hook.run(HookFacts::of_start(segment_facts(2), reason));
            finish(&mut hook).await;
            assert_eq!(read(&file), format!("cam-2.flv {word}\n"));
        }
    }

    #[tokio::test]
    async fn facts_in_braces_replace_complete_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        let script = r#"printf '%s\n' "$@" > "$0""#;
        let words = [
            &["sh", "-c", script, file.to_str().unwrap()][..],
            &[
                "{path}",
                "{segment}",
                "{offset_ms} {duration_ms}",
                "{bytes}",
            ],
            &["{start}", "{reason}", "{other}", "{", "x{path}"],
        ];
        let words: Vec<String> = words.concat().into_iter().map(str::to_owned).collect();
        let mut hook = Hook::new("--on-segment", &words).unwrap();
        hook.run(HookFacts::of_segment(SegmentFacts {
            path: "$(exit 1) {bytes} 'x".to_owned(),
            ..segment_facts(3)
        }));
        finish(&mut hook).await;
        let expected = "$(exit 1) {bytes} 'x\n3\n{offset_ms} {duration_ms}\n50000\n\
                        2026-11-22T20:15:00.000+01:00\n{reason}\n{other}\n{\nx{path}\n";
        assert_eq!(read(&file), expected);
    }

    #[tokio::test]
    async fn a_program_that_fails_or_does_not_exist_blocks_nothing() {
        for words in [&["false"][..], &["/nowhere/at/all"]] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let mut hook = Hook::new("--on-segment", &words).unwrap();
            (1..=10).for_each(|segment| hook.run(facts(segment)));
            finish(&mut hook).await;
        }
        assert!(Hook::new("--on-segment", &[]).is_none());
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
