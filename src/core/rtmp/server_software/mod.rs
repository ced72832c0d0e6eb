//! The software of a server, guessed from what it sent.
//!
//! RTMP has no field that names the software. Most servers claim to be Adobe's Flash Media Server, and many
//! claim the same version. The guess compares the facts of a session with the known behaviour of each server:
//! members and their order in the answer to `connect`, window sizes, statuses and handshake bytes. Each
//! rule needs a sign that only one server has, or several that no other known server combines. If the
//! rules of no server or of several servers match, the software is unknown.

#[cfg(test)]
mod tests;

use std::fmt;

use super::{
    client::facts::{ConnectAnswer, Member, MemberValue, SessionFacts},
    message::Kind,
};

/// Software of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSoftware {
    /// nginx with its RTMP module.
    NginxRtmp,
    /// SRS.
    Srs,
    /// MediaMTX, or another server with the same library.
    MediaMtx,
    /// Wowza Streaming Engine.
    Wowza,
    /// Flash Media Server or Adobe Media Server.
    Adobe,
    /// Red5 or Red5 Pro.
    Red5,
    /// Node-Media-Server.
    NodeMediaServer,
    /// crtmpserver, or a server derived from it.
    Crtmpserver,
    /// xiu.
    Xiu,
    /// librtmp2.
    Librtmp2,
    /// ffmpeg as a server (`-listen 1`).
    Ffmpeg,
    /// Monibuca.
    Monibuca,
    /// ZLMediaKit.
    ZlMediaKit,
    /// A server of the Limelight CDN.
    Limelight,
}

impl ServerSoftware {
    /// Returns the usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NginxRtmp => "nginx-rtmp",
            Self::Srs => "SRS",
            Self::MediaMtx => "MediaMTX",
            Self::Wowza => "Wowza",
            Self::Adobe => "Adobe FMS/AMS",
            Self::Red5 => "Red5",
            Self::NodeMediaServer => "Node-Media-Server",
            Self::Crtmpserver => "crtmpserver",
            Self::Xiu => "xiu",
            Self::Librtmp2 => "librtmp2",
            Self::Ffmpeg => "ffmpeg",
            Self::Monibuca => "Monibuca",
            Self::ZlMediaKit => "ZLMediaKit",
            Self::Limelight => "Limelight",
        }
    }
}

impl fmt::Display for ServerSoftware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A guess of the software.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// Software.
    pub software: ServerSoftware,
    /// Version in the server's own words, if it names one. Not escaped.
    pub version: Option<String>,
    /// Signs that led to the guess, in words.
    pub evidence: Vec<&'static str>,
}

/// Guesses the software of a server. Returns `None` if the facts do not identify one.
pub fn guess(facts: &SessionFacts) -> Option<Guess> {
    let mut matches = RULES.iter().filter(|rule| rule.matches(facts));
    let rule = matches.next()?;
    if matches.any(|other| other.software != rule.software) {
        return None;
    }
    Some(Guess {
        software: rule.software,
        version: version(rule.software, facts),
        evidence: rule.signs.iter().map(|sign| sign.description).collect(),
    })
}

/// Signs that together identify a software.
struct Rule {
    software: ServerSoftware,
    signs: &'static [Sign],
}

impl Rule {
    fn matches(&self, facts: &SessionFacts) -> bool {
        self.signs.iter().all(|sign| (sign.is_shown)(facts))
    }
}

/// A property of the facts.
struct Sign {
    description: &'static str,
    is_shown: fn(&SessionFacts) -> bool,
}

const fn sign(description: &'static str, is_shown: fn(&SessionFacts) -> bool) -> Sign {
    Sign {
        description,
        is_shown,
    }
}

/// `fmsVer` and `capabilities` of many servers, so that this sign alone identifies none.
const COMMON_VERSION: Sign = sign("fmsVer is FMS/3,0,1,123, capabilities 31", |facts| {
    answer(facts).is_some_and(|answer| {
        answer.fms_ver() == Some("FMS/3,0,1,123") && answer.capabilities() == Some(31.0)
    })
});

const WINDOWS_OF_5_000_000: Sign = sign("window and bandwidth are 5,000,000 B", |facts| {
    has_windows(facts, 5_000_000)
});

const WINDOWS_OF_2_500_000: Sign = sign("window and bandwidth are 2,500,000 B", |facts| {
    has_windows(facts, 2_500_000)
});

const BANDWIDTH_CHECK: Sign = sign("onBWDone after connect", |facts| {
    facts.calls.iter().any(|name| name == "onBWDone")
});

/// Servers that keep members in a sorted map.
const SORTED_MEMBERS: Sign = sign("members are sorted by name", |facts| {
    answer(facts).is_some_and(|answer| {
        is_order(&answer.properties, &["capabilities", "fmsVer"])
            && answer.information.is_sorted_by(|a, b| a.name <= b.name)
    })
});

/// Sources: nginx-rtmp, Node-Media-Server, ffmpeg and librtmp2 were observed; the others are known from their
/// published sources and from logs.
const RULES: &[Rule] = &[
    Rule {
        software: ServerSoftware::NginxRtmp,
        signs: &[
            COMMON_VERSION,
            sign("S1 has version 13.14.10.13 and a digest", |facts| {
                facts.handshake.is_some_and(|handshake| {
                    handshake.server_version == [13, 14, 10, 13] && handshake.digest.is_some()
                })
            }),
        ],
    },
    Rule {
        software: ServerSoftware::NginxRtmp,
        signs: &[
            COMMON_VERSION,
            sign(
                "Play.Start is described as \"Start live\" or \"Start video on demand\"",
                |facts| is_described(facts, PLAY_START, &["Start live", "Start video on demand"]),
            ),
        ],
    },
    Rule {
        software: ServerSoftware::Srs,
        signs: &[sign("the answer to connect has members srs_…", |facts| {
            answer(facts).is_some_and(|answer| {
                answer
                    .data
                    .iter()
                    .any(|member| member.name.starts_with("srs_"))
            })
        })],
    },
    Rule {
        software: ServerSoftware::MediaMtx,
        signs: &[sign("fmsVer is the flashVer LNX 9,0,124,2", |facts| {
            has_version(facts, "LNX 9,0,124,2")
        })],
    },
    Rule {
        software: ServerSoftware::Wowza,
        signs: &[sign("connect is answered with a secureToken", |facts| {
            facts.needs_secure_token
        })],
    },
    Rule {
        software: ServerSoftware::Wowza,
        signs: &[
            sign("fmsVer is FMS/3,5,…, capabilities 31", |facts| {
                has_version(facts, "FMS/3,5,")
                    && answer(facts).and_then(ConnectAnswer::capabilities) == Some(31.0)
            }),
            sign("the answer to connect has a clientid", |facts| {
                let information = answer(facts).map_or(&[][..], |answer| &answer.information);
                let client = information.iter().find(|member| member.name == "clientid");
                client.is_some_and(|client| matches!(client.value, MemberValue::Number(_)))
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Adobe,
        signs: &[
            sign("fmsVer and data.version are the same version", |facts| {
                answer(facts).is_some_and(|answer| {
                    let version = answer.fms_ver().and_then(|text| text.strip_prefix("FMS/"));
                    version.is_some() && version == answer.data_version()
                })
            }),
            sign("capabilities are 127 or more", |facts| {
                let capabilities = answer(facts).and_then(ConnectAnswer::capabilities);
                capabilities.is_some_and(|capabilities| capabilities >= 127.0)
            }),
            sign("data has no other member", |facts| {
                answer(facts).is_some_and(|answer| answer.data.len() == 1)
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Red5,
        signs: &[sign("fmsVer is RED5/…", |facts| {
            has_version(facts, "RED5/")
        })],
    },
    Rule {
        software: ServerSoftware::NodeMediaServer,
        signs: &[
            COMMON_VERSION,
            WINDOWS_OF_5_000_000,
            sign("chunk size is 60,000 or 65,535 B", |facts| {
                matches!(facts.chunk_size, Some(60_000 | 65_535))
            }),
            sign(
                "Play.Reset is described as \"Playing and resetting stream.\"",
                |facts| {
                    is_described(
                        facts,
                        "NetStream.Play.Reset",
                        &["Playing and resetting stream."],
                    )
                },
            ),
            sign("statuses have no member after the description", |facts| {
                has_members(facts, PLAY_START, &["level", "code", "description"])
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Crtmpserver,
        signs: &[COMMON_VERSION, WINDOWS_OF_2_500_000, SORTED_MEMBERS],
    },
    Rule {
        software: ServerSoftware::Xiu,
        signs: &[
            COMMON_VERSION,
            sign("window and bandwidth are 4096 B", |facts| {
                has_windows(facts, 4096)
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Librtmp2,
        signs: &[
            COMMON_VERSION,
            WINDOWS_OF_2_500_000,
            sign("the answer to connect has a mode", |facts| {
                answer(facts).and_then(ConnectAnswer::mode).is_some()
            }),
            sign("Play.Start is described as \"Playing\"", |facts| {
                is_described(facts, PLAY_START, &["Playing"])
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Ffmpeg,
        signs: &[
            COMMON_VERSION,
            WINDOWS_OF_2_500_000,
            BANDWIDTH_CHECK,
            sign("Set Chunk Size repeats the default of 128 B", |facts| {
                facts.chunk_size == Some(128)
            }),
            sign("members are not sorted by name", |facts| {
                !(SORTED_MEMBERS.is_shown)(facts)
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Monibuca,
        signs: &[sign("fmsVer is monibuca/…", |facts| {
            has_version(facts, "monibuca/")
        })],
    },
    Rule {
        software: ServerSoftware::ZlMediaKit,
        signs: &[
            COMMON_VERSION,
            WINDOWS_OF_5_000_000,
            BANDWIDTH_CHECK,
            sign("Set Chunk Size of 60,000 B is the first message", |facts| {
                let first = facts.first_messages.first();
                facts.chunk_size == Some(60_000)
                    && first.is_some_and(|first| first.kind == Kind::SET_CHUNK_SIZE)
            }),
        ],
    },
    Rule {
        software: ServerSoftware::Limelight,
        signs: &[sign(
            "the server requires a login by authmod=llnw",
            |facts| facts.login_scheme.as_deref() == Some("llnw"),
        )],
    },
];

/// Returns the version of a server that names its own version, not that of another one.
fn version(software: ServerSoftware, facts: &SessionFacts) -> Option<String> {
    let answer = answer(facts)?;
    let claimed = || Some(answer.fms_ver()?.split_once('/')?.1.to_owned());
    match software {
        ServerSoftware::Srs => {
            let version = answer
                .data
                .iter()
                .find(|member| member.name == "srs_version")?;
            version.value.as_text().map(str::to_owned)
        }
        ServerSoftware::Adobe | ServerSoftware::Red5 | ServerSoftware::Monibuca => claimed(),
        _ => None,
    }
}

fn answer(facts: &SessionFacts) -> Option<&ConnectAnswer> {
    facts.connect_answer.as_ref()
}

fn has_version(facts: &SessionFacts, start: &str) -> bool {
    let version = answer(facts).and_then(ConnectAnswer::fms_ver);
    version.is_some_and(|version| version.starts_with(start))
}

/// Returns whether both sizes are `window`, with the dynamic limit type.
fn has_windows(facts: &SessionFacts, window: u32) -> bool {
    facts.window == Some(window) && facts.peer_bandwidth == Some((window, Some(2)))
}

fn is_order(members: &[Member], names: &[&str]) -> bool {
    members.iter().map(|member| &member.name).eq(names)
}

fn is_described(facts: &SessionFacts, code: &str, descriptions: &[&str]) -> bool {
    let status = facts.statuses.iter().find(|status| status.code == code);
    status.is_some_and(|status| descriptions.contains(&status.description.as_str()))
}

fn has_members(facts: &SessionFacts, code: &str, names: &[&str]) -> bool {
    let status = facts.statuses.iter().find(|status| status.code == code);
    status.is_some_and(|status| status.members.iter().eq(names))
}

const PLAY_START: &str = "NetStream.Play.Start";
