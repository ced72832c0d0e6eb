//! URLs: the tcUrl of a parsed URL parses to the same server.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpull::core::rtmp::target::{Split, Target};

fuzz_target!(|url: &str| {
    let Ok(target) = Target::parse(url) else {
        return;
    };
    assert!(!target.host.is_empty());
    assert_ne!(target.port, 0);
    check_split(&target, &target.split);
    for split in &target.other_splits {
        assert!(split.playpath.is_some());
        assert_ne!(*split, target.split);
        check_split(&target, split);
    }
});

fn check_split(target: &Target, split: &Split) {
    // An empty app precedes any playpath.
    if !split.app.is_empty() {
        assert_eq!(target.playpath_after(&split.app), split.playpath);
    }
    let tc_url = target.tc_url(&split.app);
    let again = Target::parse(&tc_url).expect("a tcUrl is a URL");
    assert_eq!(again.scheme, target.scheme);
    // The tcUrl omits the zone of an address.
    assert_eq!(
        again.host,
        target.host.split('%').next().unwrap_or_default()
    );
    assert_eq!(again.port, target.port);
    assert_eq!(again.user_info, None);
}
