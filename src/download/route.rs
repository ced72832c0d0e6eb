//! Which way an RTMP URL goes.

use crate::{
    rtmp::target::{Scheme, Target},
    transport::{Carrier, Endpoint, Route},
};

/// What a scheme's bytes travel in; none where this version has no way.
pub fn carrier(scheme: Scheme) -> Option<Carrier> {
    match scheme {
        Scheme::Rtmp => Some(Carrier::Tcp),
        Scheme::Rtmps => Some(Carrier::Tls),
        Scheme::Rtmpt => Some(Carrier::Http),
        Scheme::Rtmpts => Some(Carrier::Https),
        Scheme::Rtmpe => None,
        Scheme::Rtmpte => None,
    }
}

/// The way to `target`; none where this version has none.
pub fn to(target: &Target) -> Option<Route> {
    Some(Route {
        endpoint: Endpoint {
            host: target.host.clone(),
            port: target.port,
        },
        carrier: carrier(target.scheme)?,
    })
}
