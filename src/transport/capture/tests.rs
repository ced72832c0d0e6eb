use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::*;

#[tokio::test]
async fn written_sessions_are_read_back() {
    let (folder, path) = capture_path();
    let mut writer = Writer::new(File::create(&path).unwrap(), 1 << 20, "a comment").unwrap();
    for bytes in [&b"\x03first"[..], &[3; 100_000]] {
        let mut connection = writer.connect(now()).unwrap();
        let mut write = |sender, bytes| {
            writer.write(&mut connection, sender, bytes, now()).unwrap();
        };
        write(Sender::Client, b"\x03request");
        write(Sender::Server, bytes);
        write(Sender::Client, b"more");
        write(Sender::Server, b"end");
        writer.close(&mut connection, now()).unwrap();
    }
    let sessions = Sessions::open(&path).unwrap();
    assert_eq!(sessions.count(), 2);
    assert_eq!(read(&sessions).await.unwrap().unwrap(), b"\x03firstend");
    let second = read(&sessions).await.unwrap().unwrap();
    assert_eq!(second.len(), 100_003);
    assert!(read(&sessions).await.is_none());
    let file = std::fs::read(&path).unwrap();
    assert!(file.windows(9).any(|window| window == b"a comment"));
    drop(folder);
}

#[test]
fn file_has_the_size_limit() {
    let (_folder, path) = capture_path();
    let mut writer = Writer::new(File::create(&path).unwrap(), 5000, "").unwrap();
    let mut connection = writer.connect(now()).unwrap();
    let mut written = 0;
    let error = loop {
        match writer.write(&mut connection, Sender::Server, &[3; 100], now()) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    assert!(written > 20);
    drop(writer);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!((4700..=5000).contains(&size), "{size}");
    assert_eq!(Sessions::open(&path).unwrap().count(), 1);
}

#[test]
fn files_without_a_session_are_refused() {
    let (_folder, path) = capture_path();
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Sessions::open(&path).unwrap_err().to_string()
    };
    assert_eq!(message(b""), "not a capture file");
    assert_eq!(message(b"FLV\x01\x05"), "not a pcapng or pcap file");
    let mut writer = Writer::new(File::create(&path).unwrap(), 5000, "").unwrap();
    let mut connection = writer.connect(now()).unwrap();
    writer
        .write(&mut connection, Sender::Server, b"HTTP/1.1 200 OK", now())
        .unwrap();
    drop(writer);
    let error = Sessions::open(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        "contains no session of plain RTMP from its first packet on"
    );
}

#[tokio::test]
async fn packets_of_every_link_type_are_read() {
    let ip = |connection: &mut Vec<Vec<u8>>| {
        let (_folder, path) = capture_path();
        let mut writer = Writer::new(File::create(&path).unwrap(), 5000, "").unwrap();
        let mut written = writer.connect(now()).unwrap();
        writer
            .write(&mut written, Sender::Server, b"\x03data", now())
            .unwrap();
        drop(writer);
        let mut packets = packets::Packets::open(&path).unwrap();
        while let Some((_, packet)) = packets.next().unwrap() {
            connection.push(packet.to_vec());
        }
    };
    let mut packets = Vec::new();
    ip(&mut packets);
    let ethernet = [&[0; 12][..], &[8, 0]].concat();
    let sll = [&[0; 14][..], &[8, 0]].concat();
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    let links: [(u32, &[u8]); 6] = [
        (0, &[2, 0, 0, 0]),
        (1, &ethernet),
        (101, &[]),
        (113, &sll),
        (228, &[]),
        (276, &sll2),
    ];
    for (link, header) in links {
        for big_endian in [true, false] {
            let (_folder, path) = capture_path();
            let mut file = File::create(&path).unwrap();
            let number = |number: u32| match big_endian {
                true => number.to_be_bytes(),
                false => number.to_le_bytes(),
            };
            file.write_all(&number(0xA1B2_C3D4)).unwrap();
            let version = if big_endian {
                [0, 2, 0, 4]
            } else {
                [2, 0, 4, 0]
            };
            file.write_all(&version).unwrap();
            for field in [0, 0, 65_535, link] {
                file.write_all(&number(field)).unwrap();
            }
            for packet in &packets {
                let length = number((header.len() + packet.len()) as u32);
                for bytes in [&number(1), &number(0), &length, &length, header, packet] {
                    file.write_all(bytes).unwrap();
                }
            }
            drop(file);
            let sessions = Sessions::open(&path).unwrap();
            assert_eq!(
                read(&sessions).await.unwrap().unwrap(),
                b"\x03data",
                "link type {link}"
            );
        }
    }
}

proptest! {
    /// A capture of a bug report is not trusted.
    #[test]
    fn damaged_captures_are_read_or_refused(
        changes in proptest::collection::vec((0_usize..700, any::<u8>()), 0..8),
        cut in 0_usize..700,
    ) {
        let (_folder, path) = capture_path();
        let mut writer = Writer::new(File::create(&path).unwrap(), 5000, "comment").unwrap();
        let mut connection = writer.connect(now()).unwrap();
        writer.write(&mut connection, Sender::Server, b"\x03data", now()).unwrap();
        drop(writer);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        std::fs::write(&path, bytes).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        if let Ok(sessions) = Sessions::open(&path) {
            let _ = runtime.block_on(read(&sessions));
        }
    }
}

async fn read(sessions: &Sessions) -> Option<std::io::Result<Vec<u8>>> {
    let mut replay = sessions.next().unwrap()?;
    let mut bytes = Vec::new();
    Some(replay.read_to_end(&mut bytes).await.map(|_| bytes))
}

fn capture_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.pcapng");
    (folder, path)
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}
