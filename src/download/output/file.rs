//! A regular file: opened in place, written inline, rewritten at its head.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Former, Written,
    queue::{whole_tags, write_all},
};
use crate::flv::Writer;

/// A file that holds a head, whole tags and nothing else, and the books that the head is made of.
#[derive(Debug)]
pub(super) struct TagFile<S = File> {
    storage: S,
    /// Knows of the tags that are in the file, and of no others.
    writer: Writer,
    written: Written,
    patched_at: Instant,
}

/// What a file has to be able to do.
pub(super) trait Storage: Write + Seek {
    /// Cuts it off behind `length` bytes.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
}

/// Opens a file and empties it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).open(path)
}

/// Opens a file where nothing is yet.
pub(super) fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

impl TagFile {
    /// Goes on with a file, and cuts off what is behind its last whole tag.
    pub(super) fn go_on(former: Former, now: Instant) -> io::Result<Self> {
        let mut file = Self {
            written: former.written(),
            storage: former.file,
            writer: former.writer,
            patched_at: now,
        };
        file.cut()?;
        Ok(file)
    }
}

impl<S: Storage> TagFile<S> {
    /// Writes the head into an empty file.
    pub(super) fn begin(mut storage: S, mut writer: Writer, now: Instant) -> io::Result<Self> {
        let head = writer.head();
        if let Err(error) = storage.write_all(&head) {
            let _stays_torn = storage.set_len(0);
            return Err(error);
        }
        Ok(Self {
            storage,
            writer,
            written: Written {
                bytes: head.len() as u64,
                tags: 0,
            },
            patched_at: now,
        })
    }

    /// Appends `tags`, each a whole one. Where the disk fills up, those that fit stay, and the torn one
    /// is cut off.
    pub(super) fn append(&mut self, tags: &[Vec<u8>]) -> io::Result<()> {
        match write_all(&mut self.storage, tags) {
            Ok(()) => {
                self.note(tags);
                Ok(())
            }
            Err((written, error)) => {
                self.note(whole_tags(tags, written));
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

    /// Makes the head true if that was not done for long.
    pub(super) fn patch_if_due(&mut self, now: Instant) -> io::Result<()> {
        if now.saturating_duration_since(self.patched_at) < PATCH_INTERVAL {
            return Ok(());
        }
        self.patched_at = now;
        self.patch()
    }

    /// Makes the head true: rewrites those parts of it that changed. It takes no more room on a disk
    /// that is full.
    pub(super) fn patch(&mut self) -> io::Result<()> {
        let rewritten = self.rewrite_head();
        let sought = self.seek_end();
        rewritten.and(sought)
    }

    fn rewrite_head(&mut self) -> io::Result<()> {
        for patch in self.writer.patches() {
            self.storage.seek(SeekFrom::Start(patch.offset))?;
            self.storage.write_all(&patch.bytes)?;
            self.writer.note_patch(&patch);
        }
        Ok(())
    }

    /// Goes behind the last whole tag.
    fn seek_end(&mut self) -> io::Result<()> {
        let end = SeekFrom::Start(self.writer.length());
        self.storage.seek(end).map(drop)
    }

    /// The books, for what is to stand in the head.
    pub(super) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// What is in the file.
    pub(super) fn written(&self) -> Written {
        self.written
    }

    fn note(&mut self, tags: &[Vec<u8>]) {
        self.written.add_tags(tags);
        for tag in tags {
            self.writer.note_tag(tag);
        }
    }
}

impl Storage for File {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }
}

/// How often the head is made true while the file grows.
const PATCH_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flv::{Layout, Reader, Tag, TagKind, head},
        payload::Payload,
    };

    /// A disk with room for a few bytes.
    #[derive(Debug, Default)]
    struct Disk {
        bytes: Vec<u8>,
        cursor: usize,
        room: usize,
        /// A byte that cannot be written.
        bad_byte: Option<usize>,
        cannot_be_cut: bool,
    }

    impl Write for Disk {
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

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.cursor = match to {
                SeekFrom::Start(offset) => offset as usize,
                SeekFrom::End(0) => self.bytes.len(),
                _ => panic!("nobody seeks like this"),
            };
            Ok(self.cursor as u64)
        }
    }

    impl Storage for Disk {
        fn set_len(&mut self, length: u64) -> io::Result<()> {
            if self.cannot_be_cut {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.bytes.resize(length as usize, 0);
            Ok(())
        }
    }

    /// A keyframe at `number` seconds that takes 1,000 bytes of the file.
    fn keyframe(number: u32) -> Vec<u8> {
        let mut body = vec![0x17, 1, 0, 0, 0];
        body.resize(1000 - 15, 7);
        Tag::new(TagKind::VIDEO, number * 1000, Payload::from(&body[..])).into_bytes()
    }

    fn file_on(room: usize) -> TagFile<Disk> {
        let disk = Disk {
            room,
            ..Disk::default()
        };
        TagFile::begin(disk, Writer::new(Layout::Seekable), Instant::now()).unwrap()
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
            let tags: Vec<Vec<u8>> = (0..10).map(keyframe).collect();
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
            assert_eq!(bytes[last..], tags[3]);
            let (mut reader, mut rest) = (Reader::new(), &bytes[..]);
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
            keyframe(2),
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
        let tags = [keyframe(0), keyframe(1), keyframe(2)].concat();
        assert_eq!(file.storage.bytes[head::LENGTH..], tags);
        file.patch().unwrap();
        let mut perfect = file_on(1 << 20);
        perfect
            .append(&[keyframe(0), keyframe(1), keyframe(2)])
            .unwrap();
        perfect.patch().unwrap();
        assert!(file.storage.bytes == perfect.storage.bytes);
    }
}
