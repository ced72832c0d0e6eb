//! Which way an RTMP URL goes.

use crate::{
    core::rtmp::target::{Scheme, Target},
    transport::{Carrier, Endpoint, Route},
};

/// What a scheme's bytes travel in.
pub fn carrier(scheme: Scheme) -> Carrier {
    match scheme {
        Scheme::Rtmp | Scheme::Rtmpe => Carrier::Tcp,
        Scheme::Rtmps => Carrier::Tls,
        Scheme::Rtmpt | Scheme::Rtmpte => Carrier::Http,
        Scheme::Rtmpts => Carrier::Https,
    }
}

/// The way to `target`.
pub fn to(target: &Target) -> Route {
    Route {
        endpoint: Endpoint {
            host: target.host.clone(),
            port: target.port,
        },
        carrier: carrier(target.scheme),
    }
}
