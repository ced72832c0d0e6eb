use serde_json::json;

use super::*;

fn probe() -> Value {
    json!({
        "source": "rtmp://host/live/a",
        "times": {"first_frame_ms": 250.5, "first_keyframe_ms": null},
        "tracks": [
            {"kind": "audio", "codec": "aac", "channels": 2},
            {"kind": "video", "codec": "h264", "height": 720, "frame_rate": 29.97003, "bit_rate": 500_000},
            {"kind": "video", "codec": "h265", "height": 360},
        ],
        "findings": [
            {"code": "timestamp-gap", "count": 3},
            {"code": "timestamp-gap", "count": 2},
        ],
    })
}

fn check(condition: &str) -> Result<(), Failure> {
    Condition::parse(condition).unwrap().check(&probe())
}

#[test]
fn conditions_on_numbers_compare_them() {
    for condition in [
        "video.height=720",
        "video.height == 720",
        "video.height>=720",
        "video.height<=720",
        "video.height>719",
        "video.height<720.5",
        "video.height!=719",
        "tracks[2].height=360",
        "video.frame_rate=29.97",
        "video.frame_rate=30",
        "video.frame_rate!=29.98",
        "video.bit_rate<=500k",
        "video.bit_rate<0.6M",
        "times.first_frame_ms<2s",
        "times.first_frame_ms<=250.5ms",
        "findings.timestamp-gap=5",
        "findings.no-keyframe=0",
    ] {
        assert_eq!(check(condition), Ok(()), "{condition}");
    }
    for condition in [
        "video.height!=720",
        "video.height<720",
        "video.height>720",
        "video.height=721",
        "video.bit_rate>500k",
        "times.first_frame_ms<250ms",
        "findings.timestamp-gap<1",
    ] {
        assert!(check(condition).is_err(), "{condition}");
    }
}

#[test]
fn conditions_on_texts_ignore_case() {
    for condition in [
        "audio.codec=AAC",
        "tracks[1].codec='h264'",
        "audio.codec!=mp3",
        "source~/live/",
    ] {
        assert_eq!(check(condition), Ok(()), "{condition}");
    }
    assert!(check("audio.codec~ac3").is_err());
}

#[test]
fn failed_conditions_name_the_actual_value() {
    let failure = check("video.height>=1080").unwrap_err();
    assert_eq!(
        failure.to_string(),
        "video.height>=1080 failed: the value is 720"
    );
    for missing in [
        "tracks[2].frame_rate>0",
        "tracks[7].height!=1",
        "times.first_keyframe_ms<2s",
    ] {
        assert_eq!(
            check(missing).unwrap_err().to_string(),
            format!("{missing} failed: the value is unknown")
        );
    }
}

#[test]
fn unknown_members_are_rejected_with_a_suggestion() {
    for (condition, similar) in [
        ("video.heigth>=720", Some("video.height")),
        ("tracks[0].codecs=aac", Some("tracks[].codec")),
        ("findings.timestampgap=0", Some("findings.timestamp-gap")),
        ("nonsense=1", None),
        ("video=1", None),
        ("=1", None),
    ] {
        match Condition::parse(condition) {
            Err(Error::Member { similar: found, .. }) if similar.is_some() => {
                assert_eq!(found.as_deref(), similar, "{condition}");
            }
            Err(Error::Member { .. }) if similar.is_none() => {}
            other => panic!("{condition}: {other:?}"),
        }
    }
}

#[test]
fn values_that_do_not_fit_the_member_are_rejected() {
    for condition in [
        "video.height",
        "video.height~720",
        "video.height>=720p",
        "video.height>=2s",
        "video.height>=",
        "video.height>=nan",
        "audio.codec>aac",
        "tracks=1",
        "times=1",
    ] {
        assert!(Condition::parse(condition).is_err(), "{condition}");
    }
}

/// Conditions come from a configuration that a program may generate.
#[test]
fn no_condition_panics() {
    for text in [
        "",
        "[",
        "a[=1",
        "tracks[99999999999999999999].codec=aac",
        "~",
        "<=",
        "findings.=1",
    ] {
        let _ = Condition::parse(text).map(|condition| condition.check(&probe()));
    }
}
