//! One thread for each disk, which runs the downloads to it. A disk that is slow or hangs therefore stops only its
//! own streams.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    path::Path,
    sync::Arc,
    thread,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{LocalSet, spawn_local},
};

use super::task::{Ended, Task};
use crate::{
    cli::report::status::{MainLoop, Registry},
    output::Destination,
};

/// The threads of all disks.
#[derive(Debug)]
pub(super) struct Disks {
    /// Where the threads receive their downloads.
    threads: HashMap<DiskId, UnboundedSender<Task>>,
    ended: UnboundedSender<Ended>,
    registry: Arc<Registry>,
}

/// Identity of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum DiskId {
    /// Device number of the file system.
    #[cfg(unix)]
    Device(u64),
    /// Prefix of the path, such as `C:`.
    #[cfg(not(unix))]
    Prefix(std::ffi::OsString),
    /// The folder cannot be examined. The downloads to it report why.
    Unknown,
}

impl Disks {
    /// Creates no threads yet. The results of all tasks are sent to `ended`, and `registry` shows whether the
    /// threads work.
    pub(super) fn new(ended: UnboundedSender<Ended>, registry: Arc<Registry>) -> Self {
        Self {
            threads: HashMap::new(),
            ended,
            registry,
        }
    }

    /// Starts a download on the thread of its disk. If the thread cannot be started, that is the result of the
    /// download.
    pub(super) fn start(&mut self, task: Task) {
        let failed = match self.thread(DiskId::of(&task.job.output)) {
            Ok(tasks) => tasks
                .send(task)
                .map_err(|unsent| unsent.0.fail("the thread of the disk has ended")),
            Err(error) => Err(task.fail(&format!("cannot start the thread of the disk: {error}"))),
        };
        if let Err(ended) = failed {
            // The receiver is gone only if the process ends.
            let _ = self.ended.send(ended);
        }
    }

    /// Returns the thread of a disk, and starts it for the first download.
    fn thread(&mut self, disk: DiskId) -> io::Result<&UnboundedSender<Task>> {
        let name = format!("disk-{}", self.threads.len());
        match self.threads.entry(disk) {
            Entry::Occupied(thread) => Ok(thread.into_mut()),
            Entry::Vacant(place) => {
                let thread = start_thread(&name, self.ended.clone(), &self.registry)?;
                Ok(place.insert(thread))
            }
        }
    }
}

fn start_thread(
    name: &str,
    ended: UnboundedSender<Ended>,
    registry: &Registry,
) -> io::Result<UnboundedSender<Task>> {
    let (tasks, received) = mpsc::unbounded_channel();
    let main_loop = registry.liveness().add(name);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(&runtime, received, &ended, main_loop))?;
    Ok(tasks)
}

/// Runs all tasks until the process ends.
fn run(
    runtime: &Runtime,
    mut tasks: UnboundedReceiver<Task>,
    ended: &UnboundedSender<Ended>,
    main_loop: MainLoop,
) {
    let local = LocalSet::new();
    local.spawn_local(main_loop.keep_beating());
    runtime.block_on(local.run_until(async {
        while let Some(task) = tasks.recv().await {
            let ended = ended.clone();
            spawn_local(async move {
                // The receiver is gone only if the process ends.
                let _ = ended.send(task.run().await);
            });
        }
        std::future::pending::<()>().await;
    }));
}

impl DiskId {
    fn of(output: &Destination) -> Self {
        let path = match output {
            Destination::Path(path) => path.as_path(),
            Destination::Template(template) => template.source(),
            Destination::Stdout | Destination::Discard => return Self::Unknown,
        };
        // Folders with a field are created later.
        let mut folders = path.ancestors().skip(1);
        folders.find_map(Self::of_folder).unwrap_or(Self::Unknown)
    }

    #[cfg(unix)]
    fn of_folder(folder: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let folder = if folder == Path::new("") {
            Path::new(".")
        } else {
            folder
        };
        Some(Self::Device(folder.metadata().ok()?.dev()))
    }

    #[cfg(not(unix))]
    fn of_folder(folder: &Path) -> Option<Self> {
        let folder = if folder == Path::new("") {
            Path::new(".")
        } else {
            folder
        };
        let folder = folder.canonicalize().ok()?;
        let prefix = folder.components().next()?;
        Some(Self::Prefix(prefix.as_os_str().to_owned()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn disks_are_found_by_the_nearest_existing_folder() {
        let of = |path: &str| DiskId::of(&Destination::Path(PathBuf::from(path)));
        assert_eq!(of("name.flv"), of("./missing/folder/name.flv"));
        assert_ne!(of("/proc/name.flv"), of("name.flv"));
    }
}
