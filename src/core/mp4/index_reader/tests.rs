use std::convert::Infallible;

use super::{
    fragments::Fragments,
    samples::{Disagreement, Samples},
    *,
};

/// A file in memory.
struct Memory<'a>(&'a [u8]);

impl Source for Memory<'_> {
    type Error = Infallible;

    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let bytes = &self.0[start..];
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
}

/// Everything that the reader finds in a file.
#[derive(Debug, PartialEq)]
struct Read {
    index: Index,
    samples: Vec<Vec<Sample>>,
    disagreements: Vec<Vec<Disagreement>>,
}

fn read_all(bytes: &[u8]) -> Read {
    let mut source = Memory(bytes);
    let index = read(&mut source).unwrap();
    let (mut samples, mut disagreements) = (Vec::new(), Vec::new());
    let movie = index.movie.clone().unwrap_or_default();
    for track in &movie.tracks {
        let mut reader = Samples::new(track, source.length());
        let mut found = Vec::new();
        while let Some(sample) = reader.next(&mut source).unwrap() {
            found.push(sample);
        }
        samples.push(found);
        disagreements.push(reader.disagreements().to_vec());
    }
    if let Some(start) = index.fragments_at {
        let mut fragments = Fragments::new(start..source.length(), &movie);
        let mut found = Vec::new();
        while fragments.next(&mut source, &movie, &mut found).unwrap() {
            for part in &found {
                samples[part.track].push(part.sample);
            }
        }
    }
    let total: usize = samples.iter().map(Vec::len).sum();
    assert!(total <= bytes.len().saturating_mul(movie.tracks.len() + 1));
    Read {
        index,
        samples,
        disagreements,
    }
}

fn wrap(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], kind, body].concat()
}

/// Builds a box with version, flags and these numbers.
fn full(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    wrap(kind, &[&[0; 4][..], &numbers].concat())
}

fn movie(tables: &[Vec<u8>]) -> Vec<u8> {
    let tkhd = full(
        b"tkhd",
        &[
            0,
            0,
            7,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            64 << 16,
            48 << 16,
        ],
    );
    let mdhd = full(b"mdhd", &[0, 0, 1000, 120, 0x15C7_0000]);
    let hdlr = full(b"hdlr", &[0, u32::from_be_bytes(*b"vide"), 0]);
    let mut entry = vec![0; 78];
    entry[24..28].copy_from_slice(&[0, 60, 0, 48]);
    entry.extend(wrap(b"pasp", &[0, 0, 0, 16, 0, 0, 0, 15]));
    entry.extend(wrap(b"colr", b"nclx\0\x09\0\x10\0\x09\x80"));
    let stsd = wrap(
        b"stsd",
        &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &wrap(b"mp4v", &entry)].concat(),
    );
    let stbl = wrap(b"stbl", &[vec![stsd], tables.to_vec()].concat().concat());
    let mdia = wrap(b"mdia", &[mdhd, hdlr, wrap(b"minf", &stbl)].concat());
    let elst = full(b"elst", &[2, 500, u32::MAX, 0x1_0000, 120, 40, 0x1_0000]);
    let trak = wrap(b"trak", &[tkhd, wrap(b"edts", &elst), mdia].concat());
    let mvhd = full(b"mvhd", &[0, 0, 600, 72]);
    wrap(b"moov", &[mvhd, trak].concat())
}

/// Tables of three samples in two chunks.
fn tables() -> Vec<Vec<u8>> {
    vec![
        full(b"stts", &[2, 2, 40, 1, 33]),
        full(b"ctts", &[2, 1, 80, 2, (-40_i32).cast_unsigned()]),
        full(b"stss", &[1, 1]),
        full(b"stsc", &[2, 1, 2, 1, 2, 1, 1]),
        full(b"stsz", &[0, 3, 9, 7, 5]),
        full(b"stco", &[2, 100, 200]),
    ]
}

fn file(tables: &[Vec<u8>]) -> Vec<u8> {
    let movie = movie(tables);
    [wrap(b"ftyp", b"isom"), movie, wrap(b"mdat", &[0; 300])].concat()
}

#[test]
fn tables_become_samples() {
    let read = read_all(&file(&tables()));
    let sample = |offset, size, time, duration, composition_offset, is_sync| Sample {
        offset,
        size,
        time,
        duration,
        composition_offset,
        is_sync,
    };
    assert_eq!(
        read.samples,
        [[
            sample(100, 9, 0, 40, 80, true),
            sample(109, 7, 40, 40, -40, false),
            sample(200, 5, 80, 33, -40, false),
        ]]
    );
    assert_eq!(read.disagreements, [[]]);
    assert_eq!(read.index.brand, Some(*b"isom"));
    assert_eq!(read.index.media_bytes, 300);
    assert_eq!(read.index.end, End::Complete);
    let movie = read.index.movie.unwrap();
    assert_eq!((movie.timescale, movie.duration), (600, 72));
    let track = &movie.tracks[0];
    assert_eq!((track.id, &track.handler), (7, b"vide"));
    assert_eq!((track.timescale, track.duration), (1000, 120));
    assert_eq!((track.delay, track.media_start), (500, 40));
    assert_eq!(track.language, Some(*b"eng"));
    let setup = track.setup.as_ref().unwrap();
    assert_eq!((&setup.kind, setup.codec), (b"mp4v", None));
    let Some(crate::core::flv::codec::TrackProperties::Video(properties)) = setup.properties else {
        panic!("{setup:?}");
    };
    assert_eq!(properties.pixel_aspect, Some((16, 15)));
    assert_eq!(properties.is_full_range, Some(true));
    assert_eq!(properties.color.map(|color| color.transfer), Some(16));
    assert_eq!(properties.picture_size.map(|size| size.width), Some(60));
}

#[test]
fn tables_of_different_lengths_disagree() {
    let with = |at: usize, table: Vec<u8>| {
        let mut tables = tables();
        tables[at] = table;
        read_all(&file(&tables)).disagreements.remove(0)
    };
    assert_eq!(
        with(0, full(b"stts", &[1, 2, 40])),
        [Disagreement::Short("stts")]
    );
    assert_eq!(
        with(0, full(b"stts", &[1, 4, 40])),
        [Disagreement::Long("stts")]
    );
    assert_eq!(
        with(1, full(b"ctts", &[1, 1, 0])),
        [Disagreement::Short("ctts")]
    );
    assert_eq!(
        with(2, full(b"stss", &[2, 1, 1])),
        [Disagreement::Order("stss")]
    );
    assert_eq!(
        with(2, full(b"stss", &[2, 1, 4])),
        [Disagreement::Long("stss")]
    );
    assert_eq!(
        with(3, full(b"stsc", &[1, 1, 1, 1])),
        [Disagreement::Short("stsc")]
    );
    assert_eq!(
        with(5, full(b"stco", &[3, 100, 200, 300])),
        [Disagreement::Long("stsc")]
    );
    assert_eq!(
        with(4, full(b"stsz", &[0, 4, 9, 7, 5])),
        [Disagreement::Cut("stsz"), Disagreement::Short("stsz")]
    );
    assert_eq!(
        with(5, full(b"free", &[])),
        [Disagreement::Missing("stco"), Disagreement::Short("stsc")]
    );
}

#[test]
fn number_of_samples_is_limited_by_the_length_of_the_file() {
    let tables = [
        full(b"stts", &[1, u32::MAX, 0]),
        full(b"stsc", &[1, 1, u32::MAX, 1]),
        full(b"stsz", &[1, u32::MAX]),
        full(b"stco", &[1, 100]),
    ];
    let file = file(&tables);
    assert_eq!(read_all(&file).samples[0].len(), file.len());
    let run = full(b"trun", &[u32::MAX]);
    let fragment = wrap(
        b"moof",
        &wrap(b"traf", &[full(b"tfhd", &[7]), run].concat()),
    );
    let file = [movie(&[]), fragment].concat();
    assert!(read_all(&file).samples[0].len() < file.len());
}

#[test]
fn end_of_a_short_table_is_read_once() {
    struct Counted<'a>(Memory<'a>, usize);
    impl Source for Counted<'_> {
        type Error = Infallible;

        fn length(&self) -> u64 {
            self.0.length()
        }

        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
            self.1 += 1;
            self.0.read_at(offset, buffer)
        }
    }
    let mut tables = tables();
    // Each sample needs values after the end of these tables.
    tables[0] = full(b"stts", &[1, 1, 40]);
    tables[1] = full(b"ctts", &[1, 1, 0]);
    tables[3] = full(b"stsc", &[1, 1, 1000, 1]);
    tables[4] = full(b"stsz", &[9, 1000]);
    let file = file(&tables);
    let mut source = Counted(Memory(&file), 0);
    let track = read(&mut source).unwrap().movie.unwrap().tracks.remove(0);
    let mut samples = Samples::new(&track, source.length());
    source.1 = 0;
    let mut count = 0;
    while samples.next(&mut source).unwrap().is_some() {
        count += 1;
    }
    assert!(count > 500, "{count} samples");
    assert!(source.1 <= 20, "{} reads of {count} samples", source.1);
}

#[test]
fn fragments_become_samples() {
    let tfhd = wrap(
        b"tfhd",
        &[
            &[0, 2, 0, 0x28][..],
            &[0, 0, 0, 7],
            &[0, 0, 0, 40],
            &[0, 1, 0, 0],
        ]
        .concat(),
    );
    let tfdt = full(b"tfdt", &[800]);
    // Data offset, first flags, and a size for each sample.
    let trun = wrap(
        b"trun",
        &[
            &[0, 0, 2, 5][..],
            &[0, 0, 0, 2],
            &[0, 0, 0, 90],
            &[0; 4],
            &[0, 0, 0, 9],
            &[0, 0, 0, 4],
        ]
        .concat(),
    );
    let second = wrap(
        b"trun",
        &[&[0, 0, 2, 0][..], &[0, 0, 0, 1], &[0, 0, 0, 3]].concat(),
    );
    let moof = wrap(
        b"moof",
        &wrap(b"traf", &[tfhd, tfdt, trun, second].concat()),
    );
    let movie = movie(&[]);
    let at = movie.len() as u64;
    let read = read_all(&[movie, moof, wrap(b"mdat", &[0; 20])].concat());
    let facts = |sample: &Sample| (sample.offset - at, sample.size, sample.time, sample.is_sync);
    let found: Vec<_> = read.samples[0].iter().map(facts).collect();
    assert_eq!(
        found,
        [
            (90, 9, 800, true),
            (99, 4, 840, false),
            (103, 3, 880, false)
        ]
    );
    assert_eq!(
        (read.index.fragments, read.index.fragments_at),
        (1, Some(at))
    );
}

#[test]
fn boxes_that_do_not_end_with_the_file_are_reported() {
    let file = file(&tables());
    let end = |bytes: &[u8]| read(&mut Memory(bytes)).unwrap().end;
    let data = file.len() as u64 - 308;
    assert_eq!(
        end(&file[..file.len() - 1]),
        End::Torn {
            offset: data,
            kind: Some(*b"mdat")
        }
    );
    let mut longer = file.clone();
    longer.extend([0; 9]);
    let offset = file.len() as u64;
    assert_eq!(end(&longer), End::NoBox { offset });
    longer.truncate(file.len() + 3);
    assert_eq!(end(&longer), End::Torn { offset, kind: None });
}

#[test]
fn files_cut_or_changed_at_any_byte_are_read_without_panic() {
    let fragment = wrap(
        b"moof",
        &wrap(
            b"traf",
            &[full(b"tfhd", &[7]), full(b"trun", &[1])].concat(),
        ),
    );
    let file = [file(&tables()), fragment].concat();
    for at in 0..file.len() {
        read_all(&file[..at]);
        for value in [0, 1, 0x7F, 0xFF] {
            let mut changed = file.clone();
            changed[at] = value;
            read_all(&changed);
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
        read_all(&bytes);
        read_all(&wrap(b"moov", &wrap(b"trak", &bytes)));
    }
}
