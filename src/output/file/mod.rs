//! A regular file: opened in place, written inline, rewritten at its head.

pub(super) mod free_space;
pub(super) mod lock;
mod sync;

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    lock::lock,
    sync::{Disk, State},
};
use super::{
    ExistingFile, Totals,
    muxer::Unit,
    write_queue::{complete_units, write_all},
};
use crate::core::{
    amf::Object,
    flv::{HeadWriter, head_writer::Patch},
};

/// A file that holds a head, whole tags and nothing else, and the books that the head is made of.
#[derive(Debug)]
pub(super) struct TagFile<S = File> {
    storage: S,
    /// Knows of the tags that are in the file, and of no others.
    writer: HeadWriter,
    written: Totals,
    patched_at: Instant,
    /// `None` where the system is to see to it when the file gets to the disk.
    disk: Option<Disk>,
    /// What makes the head speak of tags that are on their way to the disk.
    held: Vec<Patch>,
    /// Whether an earlier recording began it.
    is_gone_on_with: bool,
}

/// What a file has to be able to do.
pub(super) trait Storage: Write + Seek {
    /// Cuts it off behind `length` bytes.
    fn set_len(&mut self, length: u64) -> io::Result<()>;

    /// What brings all that was written to where no power failure reaches it, from any thread.
    fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>>;
}

/// Opens a file, locks it, and empties it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(path)?;
    lock(&file)?;
    // What was cut off, if only behind nothing, ext4 brings to the disk while it is closed.
    if file.metadata()?.len() > 0 {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Opens a file where nothing is yet, and locks it.
pub(super) fn open_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    lock(&file)?;
    Ok(file)
}

impl TagFile {
    /// Goes on with a file, and cuts off what is behind its last whole tag.
    pub(super) fn go_on(
        former: ExistingFile,
        sync_interval: Option<Duration>,
        now: Instant,
    ) -> io::Result<Self> {
        let mut file = Self {
            written: former.written(),
            storage: former.file,
            writer: former.writer,
            patched_at: now,
            disk: None,
            held: Vec::new(),
            is_gone_on_with: true,
        };
        file.bring_to_disk(sync_interval, now)?;
        file.cut()?;
        Ok(file)
    }
}

impl<S: Storage> TagFile<S> {
    /// Writes the head into an empty file, which is then brought to the disk every `sync_interval`.
    pub(super) fn begin(
        mut storage: S,
        mut writer: HeadWriter,
        sync_interval: Option<Duration>,
        now: Instant,
    ) -> io::Result<Self> {
        let head = writer.head();
        if let Err(error) = storage.write_all(&head) {
            let _stays_torn = storage.set_len(0);
            return Err(error);
        }
        let mut file = Self {
            storage,
            writer,
            written: Totals {
                bytes: head.len() as u64,
                tags: 0,
            },
            patched_at: now,
            disk: None,
            held: Vec::new(),
            is_gone_on_with: false,
        };
        file.bring_to_disk(sync_interval, now)?;
        Ok(file)
    }

    fn bring_to_disk(&mut self, interval: Option<Duration>, now: Instant) -> io::Result<()> {
        if let Some(interval) = interval {
            self.disk = Some(Disk::new(self.storage.syncer()?, interval, now));
        }
        Ok(())
    }

    /// Appends `tags`, each a whole one. Where the disk fills up, those that fit stay, and the torn one
    /// is cut off.
    pub(super) fn append(&mut self, units: &[Unit]) -> io::Result<()> {
        match write_all(&mut self.storage, units) {
            Ok(()) => {
                self.note(units);
                Ok(())
            }
            Err((written, error)) => {
                self.note(complete_units(units, written));
                if let Err(error) = self.cut() {
                    tracing::warn!("cannot cut off a torn tag: {error}");
                }
                Err(error)
            }
        }
    }

    /// Removes what is behind the last whole tag.
    fn cut(&mut self) -> io::Result<()> {
        self.seek_end()?;
        self.storage.set_len(self.writer.length())
    }

    /// When [`TagFile::keep_up`] has something to do, whether or not more comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.disk.as_ref()?.deadline()
    }

    /// Makes the head true and brings the file to the disk, each if that was not done for long.
    ///
    /// The disk comes first: a head that speaks of tags which a power failure took would send players
    /// to where nothing is. Where the disk is wanted less often than the head, the head waits for it.
    pub(super) fn keep_up(&mut self, now: Instant) -> io::Result<()> {
        let is_patch_due = now.saturating_duration_since(self.patched_at) >= PATCH_INTERVAL;
        let disk = self.look_at_disk(now)?;
        if disk == Some(State::Done) {
            let held = std::mem::take(&mut self.held);
            self.rewrite(held)?;
        }
        let is_in_step = |disk: &Disk| disk.interval() <= PATCH_INTERVAL;
        match &mut self.disk {
            Some(_) if disk == Some(State::Running) => return Ok(()),
            Some(disk) if disk.is_due(now) || is_patch_due && is_in_step(disk) => {
                if is_patch_due {
                    self.patched_at = now;
                    self.held = self.writer.patches();
                }
                disk.start(now);
            }
            None if is_patch_due => {
                self.patched_at = now;
                self.patch()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What becomes of the file on its way to the disk. Where there is no such way, that is said once.
    fn look_at_disk(&mut self, now: Instant) -> io::Result<Option<State>> {
        let Some(disk) = &mut self.disk else {
            return Ok(None);
        };
        let looked = disk.look(now);
        self.settle_with_disk(looked.map(Some))
    }

    fn settle_with_disk<T: Default>(&mut self, looked: io::Result<T>) -> io::Result<T> {
        let Err(error) = looked else {
            return looked;
        };
        self.disk = None;
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
                tracing::warn!("the file cannot be brought to the disk at will: {error}");
                Ok(T::default())
            }
            _ => Err(error),
        }
    }

    /// Brings all that is in the file to the disk, until `deadline`. Cancelling loses nothing.
    pub(super) async fn sync_at_end(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        let finished = disk.finish(deadline).await;
        self.settle_with_disk(finished)
    }

    /// Makes the head true: rewrites those parts of it that changed. It takes no more room on a disk
    /// that is full.
    pub(super) fn patch(&mut self) -> io::Result<()> {
        self.held.clear();
        self.rewrite(self.writer.patches())
    }

    fn rewrite(&mut self, patches: Vec<Patch>) -> io::Result<()> {
        if let (Some(disk), false) = (&mut self.disk, patches.is_empty()) {
            disk.note_write();
        }
        let rewritten = self.rewrite_head(patches);
        let sought = self.seek_end();
        rewritten.and(sought)
    }

    fn rewrite_head(&mut self, patches: Vec<Patch>) -> io::Result<()> {
        for patch in patches {
            self.storage.seek(SeekFrom::Start(patch.offset))?;
            self.storage.write_all(&patch.bytes)?;
            self.writer.patch_written(&patch);
        }
        Ok(())
    }

    /// Goes behind the last whole tag.
    fn seek_end(&mut self) -> io::Result<()> {
        let end = SeekFrom::Start(self.writer.length());
        self.storage.seek(end).map(drop)
    }

    /// Takes the fields of a server's `onMetaData`; false where they are to be written as a tag. A file
    /// that somebody else began keeps the one that it has.
    pub(super) fn set_metadata(&mut self, fields: &Object) -> bool {
        self.writer.set_metadata(fields) || self.is_gone_on_with
    }

    /// The books, for what is to stand in the head.
    pub(super) fn writer(&mut self) -> &mut HeadWriter {
        &mut self.writer
    }

    /// What is in the file.
    pub(super) fn written(&self) -> Totals {
        self.written
    }

    fn note(&mut self, units: &[Unit]) {
        if let Some(disk) = &mut self.disk {
            disk.note_write();
        }
        self.written.add(units);
        for unit in units {
            let length = unit.payload_len();
            self.writer
                .tag_written(unit.info, unit.timestamp_ms, length);
        }
    }
}

impl Storage for File {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>> {
        let file = self.try_clone()?;
        Ok(Arc::new(move || file.sync_data()))
    }
}

/// How often the head is made true while the file grows.
const PATCH_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::core::{
        flv::{FrameParser, Layout, TagKind, TagReader, head},
        payload::Payload,
    };

    /// A disk with room for a few bytes.
    #[derive(Debug)]
    struct MemoryDisk {
        bytes: Vec<u8>,
        cursor: usize,
        room: usize,
        /// A byte that cannot be written.
        bad_byte: Option<usize>,
        cannot_be_cut: bool,
        /// How each sync ends, once it does.
        syncs: Arc<Mutex<mpsc::Receiver<io::Result<()>>>>,
    }

    impl Write for MemoryDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room - self.cursor;
            let good = self.bad_byte.and_then(|bad| bad.checked_sub(self.cursor));
            let count = bytes.len().min(room).min(good.unwrap_or(room));
            if count == 0 && good == Some(0) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let end = self.cursor + count;
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[self.cursor..end].copy_from_slice(&bytes[..count]);
            self.cursor = end;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for MemoryDisk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.cursor = match to {
                SeekFrom::Start(offset) => offset as usize,
                SeekFrom::End(0) => self.bytes.len(),
                _ => panic!("nobody seeks like this"),
            };
            Ok(self.cursor as u64)
        }
    }

    impl Storage for MemoryDisk {
        fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>> {
            let syncs = Arc::clone(&self.syncs);
            Ok(Arc::new(move || {
                let ended = syncs.lock().unwrap().recv();
                ended.unwrap_or(Ok(()))
            }))
        }

        fn set_len(&mut self, length: u64) -> io::Result<()> {
            if self.cannot_be_cut {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.bytes.resize(length as usize, 0);
            Ok(())
        }
    }

    impl Default for MemoryDisk {
        fn default() -> Self {
            Self::syncing().0
        }
    }

    impl MemoryDisk {
        fn syncing() -> (Self, mpsc::Sender<io::Result<()>>) {
            let (sender, syncs) = mpsc::channel();
            let disk = Self {
                bytes: Vec::new(),
                cursor: 0,
                room: 1 << 20,
                bad_byte: None,
                cannot_be_cut: false,
                syncs: Arc::new(Mutex::new(syncs)),
            };
            (disk, sender)
        }
    }

    /// A keyframe at `number` seconds that takes 1,000 bytes of the file.
    fn keyframe(number: u32) -> Unit {
        let mut body = vec![0x17, 1, 0, 0, 0];
        body.resize(1000 - 15, 7);
        let info = FrameParser::new().parse(TagKind::VIDEO, &body);
        Unit::new(info, number * 1000, Payload::from(&body[..]))
    }

    fn file_on(room: usize) -> TagFile<MemoryDisk> {
        let disk = MemoryDisk {
            room,
            ..MemoryDisk::default()
        };
        TagFile::begin(
            disk,
            HeadWriter::new(Layout::Seekable),
            None,
            Instant::now(),
        )
        .unwrap()
    }

    /// A number of the head.
    fn told(file: &[u8], name: &str) -> f64 {
        let name = [&[0, name.len() as u8], name.as_bytes(), &[0]].concat();
        let found = file.windows(name.len()).position(|window| window == name);
        let at = found.unwrap() + name.len();
        f64::from_be_bytes(file[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_head_of_a_full_disk_speaks_of_what_is_in_the_file() {
        for torn in [0, 1, 999] {
            let mut file = file_on(head::LENGTH + 4000 + torn);
            let tags: Vec<Unit> = (0..10).map(keyframe).collect();
            file.append(&tags[..3]).unwrap();
            let error = file.append(&tags[3..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            file.patch().unwrap();
            let bytes = &file.storage.bytes;
            assert_eq!(bytes.len(), head::LENGTH + 4000);
            assert_eq!(
                (file.written().bytes, file.written().tags),
                (bytes.len() as u64, 4)
            );
            assert_eq!(told(bytes, "filesize"), bytes.len() as f64);
            assert_eq!(told(bytes, "videosize"), 4000.0);
            assert_eq!(told(bytes, "duration"), 4.0);
            assert_eq!(told(bytes, "lastkeyframetimestamp"), 3.0);
            let last = told(bytes, "lastkeyframelocation") as usize;
            assert_eq!(last, head::LENGTH + 3000);
            assert_eq!(bytes[last..], tags[3].bytes);
            let (mut reader, mut rest) = (TagReader::new(), &bytes[..]);
            while reader.read(&mut rest).unwrap().is_some() {}
            assert_eq!(reader.torn(rest), None);
        }
    }
    #[test]
    fn a_file_that_cannot_be_cut_still_tells_why_it_took_no_more() {
        let mut file = file_on(head::LENGTH + 1500);
        file.storage.cannot_be_cut = true;
        let error = file.append(&[keyframe(0), keyframe(1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        // What comes next goes over the torn tag.
        file.storage.room += 1000;
        file.append(&[keyframe(2)]).unwrap();
        assert_eq!(
            file.storage.bytes[head::LENGTH + 1000..],
            keyframe(2).bytes,
            "what follows the whole tags"
        );
    }

    #[test]
    fn a_head_that_cannot_be_rewritten_leaves_the_tags_alone_and_is_tried_again() {
        let mut file = file_on(1 << 20);
        file.append(&[keyframe(0), keyframe(1)]).unwrap();
        // Among the positions of the keyframes.
        file.storage.bad_byte = Some(21_000);
        let error = file.patch().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        file.storage.bad_byte = None;
        file.append(&[keyframe(2)]).unwrap();
        let tags = [0, 1, 2].map(|number| keyframe(number).bytes).concat();
        assert_eq!(file.storage.bytes[head::LENGTH..], tags);
        file.patch().unwrap();
        let mut perfect = file_on(1 << 20);
        perfect
            .append(&[keyframe(0), keyframe(1), keyframe(2)])
            .unwrap();
        perfect.patch().unwrap();
        assert!(file.storage.bytes == perfect.storage.bytes);
    }

    /// A file on a disk whose syncs end as the sender says, and that is looked at so many seconds after
    /// it was begun.
    struct Synced {
        file: TagFile<MemoryDisk>,
        syncs: mpsc::Sender<io::Result<()>>,
        began: Instant,
    }

    impl Synced {
        fn every(seconds: u64) -> Self {
            let (disk, syncs) = MemoryDisk::syncing();
            let began = Instant::now();
            let interval = Some(Duration::from_secs(seconds));
            let writer = HeadWriter::new(Layout::Seekable);
            Self {
                file: TagFile::begin(disk, writer, interval, began).unwrap(),
                syncs,
                began,
            }
        }

        fn keep_up_at(&mut self, seconds: u64) -> io::Result<()> {
            self.file.keep_up(self.began + Duration::from_secs(seconds))
        }

        /// Ends the sync that is running and waits until its thread has.
        fn end_sync(&self, how: io::Result<()>) {
            self.syncs.send(how).unwrap();
            self.wait();
        }

        fn wait(&self) {
            let disk = self.file.disk.as_ref().unwrap();
            while disk.is_at_work() {
                std::thread::yield_now();
            }
        }

        fn is_syncing(&self) -> bool {
            self.file.disk.as_ref().is_some_and(Disk::is_at_work)
        }

        fn duration(&self) -> f64 {
            told(&self.file.storage.bytes, "duration")
        }
    }

    #[test]
    fn a_head_speaks_of_tags_once_they_are_on_the_disk() {
        let mut synced = Synced::every(10);
        synced.file.append(&[keyframe(0), keyframe(1)]).unwrap();
        synced.keep_up_at(9).unwrap();
        assert!(!synced.is_syncing());
        synced.keep_up_at(10).unwrap();
        assert!(synced.is_syncing());
        // The disk takes its time, and the file grows on.
        synced.file.append(&[keyframe(2)]).unwrap();
        synced.keep_up_at(25).unwrap();
        assert_eq!(synced.duration(), 0.0);
        synced.end_sync(Ok(()));
        synced.keep_up_at(26).unwrap();
        assert_eq!(synced.duration(), 2.0);
        assert!(synced.is_syncing(), "it was due for long");
        synced.end_sync(Ok(()));
        synced.keep_up_at(27).unwrap();
        assert_eq!(synced.duration(), 3.0);
        let mut rest = &synced.file.storage.bytes[head::LENGTH..];
        assert_eq!(rest.len(), 3000);
        for number in 0..3 {
            assert_eq!(rest[..1000], keyframe(number).bytes);
            rest = &rest[1000..];
        }
    }

    #[test]
    fn nothing_is_brought_to_the_disk_twice() {
        let mut synced = Synced::every(1);
        let at = |seconds| Some(synced.began + Duration::from_secs(seconds));
        let (first, second) = (at(1), at(2));
        assert_eq!(synced.file.deadline(), first, "the head");
        synced.keep_up_at(1).unwrap();
        synced.end_sync(Ok(()));
        synced.keep_up_at(1).unwrap();
        assert_eq!(synced.file.deadline(), None);
        synced.keep_up_at(5).unwrap();
        assert!(!synced.is_syncing());
        synced.file.append(&[keyframe(0)]).unwrap();
        assert_eq!(synced.file.deadline(), second);
    }

    #[test]
    fn a_head_waits_for_a_disk_that_is_wanted_seldom() {
        let mut synced = Synced::every(60);
        synced.file.append(&[keyframe(0), keyframe(1)]).unwrap();
        synced.keep_up_at(10).unwrap();
        assert!(!synced.is_syncing());
        assert_eq!(synced.duration(), 0.0);
        synced.keep_up_at(60).unwrap();
        assert_eq!(synced.duration(), 0.0);
        synced.end_sync(Ok(()));
        synced.keep_up_at(61).unwrap();
        assert_eq!(synced.duration(), 2.0);
    }

    #[test]
    fn a_disk_that_fails_is_told_once() {
        let mut synced = Synced::every(1);
        synced.keep_up_at(1).unwrap();
        synced.end_sync(Err(io::Error::from_raw_os_error(5)));
        let error = synced.keep_up_at(2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
        synced.file.append(&[keyframe(0)]).unwrap();
        synced.keep_up_at(20).unwrap();
        assert_eq!(synced.file.deadline(), None);
        // What cannot be had is done without.
        let mut synced = Synced::every(1);
        synced.keep_up_at(1).unwrap();
        synced.end_sync(Err(io::ErrorKind::Unsupported.into()));
        synced.keep_up_at(2).unwrap();
        assert_eq!(synced.file.deadline(), None);
    }

    #[tokio::test]
    async fn the_end_is_brought_to_the_disk_too_but_not_waited_for_without_end() {
        let mut synced = Synced::every(10);
        synced.file.append(&[keyframe(0)]).unwrap();
        synced.file.sync_at_end(None).await.unwrap();
        synced.keep_up_at(10).unwrap();
        synced.file.append(&[keyframe(1)]).unwrap();
        synced.file.patch().unwrap();
        assert_eq!(synced.duration(), 2.0);
        synced.file.sync_at_end(Some(Instant::now())).await.unwrap();
        assert!(synced.is_syncing());
        for _ in 0..2 {
            synced.syncs.send(Ok(())).unwrap();
        }
        synced.file.sync_at_end(None).await.unwrap();
        assert!(!synced.is_syncing());
        assert_eq!(synced.file.deadline(), None);
    }
}
