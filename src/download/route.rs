//! The route to a server, derived from the URL scheme.

use crate::{
    core::rtmp::target::{Scheme, Target},
    transport::{Carrier, Endpoint, Route},
};

/// Returns the transport of a scheme.
pub fn carrier(scheme: Scheme) -> Carrier {
    match scheme {
        Scheme::Rtmp | Scheme::Rtmpe => Carrier::Tcp,
        Scheme::Rtmps => Carrier::Tls,
        Scheme::Rtmpt | Scheme::Rtmpte => Carrier::Http,
        Scheme::Rtmpts => Carrier::Https,
    }
}

/// Returns the route to `target`.
pub fn to(target: &Target) -> Route {
    Route {
        endpoint: Endpoint {
            host: target.host.clone(),
            port: target.port,
        },
        carrier: carrier(target.scheme),
    }
}
