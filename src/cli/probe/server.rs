//! The server and its session.

use serde::Serialize;

use super::{
    Cleaner,
    format::{ms, ms_text, number_text},
    table::Section,
};
use crate::core::rtmp::{
    client::facts::{HandshakeFacts, S2Check, SessionFacts, StatusFacts},
    server_software::guess,
};

/// The server, from its messages in the latest session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Server {
    software: &'static str,
    software_version: Option<String>,
    software_evidence: Vec<&'static str>,
    fms_ver: Option<String>,
    capabilities: Option<f64>,
    mode: Option<f64>,
    object_encoding: Option<f64>,
    version: Option<String>,
    is_enhanced: bool,
    four_ccs: Vec<String>,
    caps_ex: Option<f64>,
    window_bytes: Option<u32>,
    peer_bandwidth_bytes: Option<u32>,
    chunk_size: u32,
    is_recorded: bool,
    announced_duration_ms: Option<f64>,
    login_scheme: Option<String>,
    needs_secure_token: bool,
}

/// The latest session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Session {
    handshake: Option<Handshake>,
    round_trip_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    handshake_ms: Option<f64>,
    connect_ms: Option<f64>,
    create_stream_ms: Option<f64>,
    play_start_ms: Option<f64>,
    metadata_ms: Option<f64>,
    first_frame_ms: Option<f64>,
    first_keyframe_ms: Option<f64>,
    statuses: Vec<Status>,
    calls: Vec<String>,
    malformed_messages: u64,
    received_bytes: u64,
}

/// The RTMP handshake.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Handshake {
    s0: u8,
    kind: &'static str,
    server_version: String,
    s2: &'static str,
    is_encrypted: bool,
}

/// A status that the server sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Status {
    level: String,
    code: String,
    description: String,
    time_ms: Option<f64>,
}

impl Server {
    pub(super) fn of(facts: &SessionFacts, cleaner: &Cleaner<'_>) -> Self {
        let answer = facts.connect_answer.as_ref();
        let clean = |text: &str| cleaner.clean(text);
        let guess = guess(facts);
        Self {
            software: guess
                .as_ref()
                .map_or("unknown", |guess| guess.software.name()),
            software_version: guess
                .as_ref()
                .and_then(|guess| guess.version.as_deref())
                .map(clean),
            software_evidence: guess.map_or_else(Vec::new, |guess| guess.evidence),
            fms_ver: answer.and_then(|answer| answer.fms_ver()).map(clean),
            capabilities: answer.and_then(|answer| answer.capabilities()),
            mode: answer.and_then(|answer| answer.mode()),
            object_encoding: answer.and_then(|answer| answer.object_encoding()),
            version: answer.and_then(|answer| answer.data_version()).map(clean),
            is_enhanced: answer.is_some_and(|answer| answer.is_enhanced()),
            four_ccs: answer
                .iter()
                .flat_map(|answer| &answer.four_ccs)
                .map(|code| clean(code))
                .collect(),
            caps_ex: answer.and_then(|answer| answer.caps_ex()),
            window_bytes: facts.window,
            peer_bandwidth_bytes: facts.peer_bandwidth.map(|(bytes, _)| bytes),
            chunk_size: facts.chunk_size.unwrap_or(DEFAULT_CHUNK_SIZE),
            is_recorded: facts.control.stream_is_recorded > 0,
            announced_duration_ms: facts
                .announced_duration_s
                .map(|seconds| (seconds * 1000.0).round()),
            login_scheme: facts.login_scheme.as_deref().map(clean),
            needs_secure_token: facts.needs_secure_token,
        }
    }

    /// Returns the rows for people.
    pub(super) fn section(&self) -> Section {
        let mut section = Section::new("Server");
        let number = |number: Option<f64>| number.map(|number| number_text(number, 3));
        let bytes = |bytes: Option<u32>| bytes.map(|bytes| format!("{bytes} bytes"));
        section.add("software", Some(self.software_text()));
        section.add("fmsVer", self.fms_ver.clone());
        section.add("version", self.version.clone());
        section.add("capabilities", number(self.capabilities));
        section.add("object encoding", number(self.object_encoding));
        section.add("Enhanced RTMP", Some(self.enhanced_text()));
        section.add("window", bytes(self.window_bytes));
        section.add("peer bandwidth", bytes(self.peer_bandwidth_bytes));
        section.add("chunk size", bytes(Some(self.chunk_size)));
        section.add("recorded", self.is_recorded.then_some("yes"));
        // Live streams have a duration of 0.
        let duration = self.announced_duration_ms.filter(|ms| *ms > 0.0);
        section.add("announced duration", ms_text(duration));
        section.add("login", self.login_scheme.clone());
        section.add(
            "secure token",
            self.needs_secure_token.then_some("required"),
        );
        section
    }

    fn software_text(&self) -> String {
        let version = self.software_version.iter().map(String::as_str);
        let words: Vec<&str> = [self.software].into_iter().chain(version).collect();
        words.join(" ")
    }

    fn enhanced_text(&self) -> String {
        match (self.is_enhanced, self.four_ccs.is_empty()) {
            (false, _) => "no".to_owned(),
            (true, true) => "yes".to_owned(),
            (true, false) => format!("yes: {}", self.four_ccs.join(" ")),
        }
    }
}

impl Session {
    pub(super) fn of(facts: &SessionFacts, cleaner: &Cleaner<'_>) -> Self {
        let steps = &facts.steps;
        Self {
            handshake: facts.handshake.as_ref().map(Handshake::of),
            round_trip_ms: ms(facts.round_trips.shortest()),
            first_byte_ms: ms(steps.first_byte),
            handshake_ms: ms(steps.handshake),
            connect_ms: ms(steps.connect_answer),
            create_stream_ms: ms(steps.create_stream_answer),
            play_start_ms: ms(steps.play_start),
            metadata_ms: ms(steps.metadata),
            first_frame_ms: ms(steps.frame),
            first_keyframe_ms: ms(steps.keyframe),
            statuses: facts
                .statuses
                .iter()
                .map(|status| Status::of(status, cleaner))
                .collect(),
            calls: facts.calls.iter().map(|call| cleaner.clean(call)).collect(),
            malformed_messages: facts.malformed,
            received_bytes: facts.received_bytes,
        }
    }

    /// Returns the rows for people.
    pub(super) fn section(&self) -> Section {
        let mut section = Section::new("Session");
        if let Some(handshake) = &self.handshake {
            handshake.add_to(&mut section);
        }
        section.add("round trip", ms_text(self.round_trip_ms));
        for (label, time) in [
            ("first byte", self.first_byte_ms),
            ("handshake done", self.handshake_ms),
            ("connect answered", self.connect_ms),
            ("stream created", self.create_stream_ms),
            ("play started", self.play_start_ms),
            ("metadata", self.metadata_ms),
            ("first frame", self.first_frame_ms),
            ("first keyframe", self.first_keyframe_ms),
        ] {
            section.add(label, ms_text(time).map(|time| format!("after {time}")));
        }
        for status in &self.statuses {
            section.add("status", Some(status.text()));
        }
        let calls = Some(self.calls.join(" ")).filter(|calls| !calls.is_empty());
        section.add("calls", calls);
        section
    }
}

impl Handshake {
    fn of(facts: &HandshakeFacts) -> Self {
        Self {
            s0: facts.version,
            kind: match facts.digest {
                Some(_) => "digest",
                None => "plain",
            },
            server_version: facts.server_version.map(|byte| byte.to_string()).join("."),
            s2: match facts.s2 {
                S2Check::Signed => "signed",
                S2Check::WronglySigned => "wrongly signed",
                S2Check::Echo => "echo",
                S2Check::OtherBytes => "other bytes",
            },
            is_encrypted: facts.encryption.is_some(),
        }
    }

    fn add_to(&self, section: &mut Section) {
        let encrypted = if self.is_encrypted { ", encrypted" } else { "" };
        let text = format!("{}, S0 {}, S2 {}{encrypted}", self.kind, self.s0, self.s2);
        section.add("handshake", Some(text));
        section.add("server version", Some(self.server_version.clone()));
    }
}

impl Status {
    fn of(facts: &StatusFacts, cleaner: &Cleaner<'_>) -> Self {
        Self {
            level: cleaner.clean(&facts.level),
            code: cleaner.clean(&facts.code),
            description: cleaner.clean(&facts.description),
            time_ms: ms(Some(facts.time)),
        }
    }

    fn text(&self) -> String {
        let time = ms_text(self.time_ms).unwrap_or_default();
        match self.description.is_empty() {
            true => format!("{} after {time}", self.code),
            false => format!("{} after {time}: {}", self.code, self.description),
        }
    }
}

/// Chunk size before Set Chunk Size (RTMP 5.4.1).
const DEFAULT_CHUNK_SIZE: u32 = 128;
