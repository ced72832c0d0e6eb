//! Answers to requests.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::{address::MetricsAddress, exposition::Exposition, page};
use crate::cli::report::status::{LoopAge, Registry};

/// The pages of the server.
#[derive(Debug)]
pub(super) struct Site {
    registry: Arc<Registry>,
    exposition: Exposition,
    /// Whether only programs of this computer can connect.
    is_local: bool,
}

impl Site {
    /// Creates the pages of a server at `address`.
    pub(super) fn new(
        registry: Arc<Registry>,
        exposition: Exposition,
        address: &MetricsAddress,
    ) -> Self {
        Self {
            registry,
            exposition,
            is_local: matches!(address, MetricsAddress::Tcp(address) if address.ip().is_loopback()),
        }
    }

    /// Answers a request. The connection omits the body if the method is HEAD.
    pub(super) fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let headers = response.headers_mut();
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        // DNS rebinding: a web site whose name leads to 127.0.0.1 would read the page through the browser.
        if self.is_local && !request.headers().get_all(header::HOST).iter().all(is_local) {
            let why = "use localhost or an IP address instead of this host name\n";
            return text(StatusCode::MISDIRECTED_REQUEST, why);
        }
        match request.uri().path() {
            "/" => page(&self.registry),
            "/metrics" => self.metrics(),
            "/healthz" => health(&self.registry),
            "/readyz" if self.registry.is_ready() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "some streams have not made their first attempt\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz or /\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.exposition.text() {
            Ok(body) => response(StatusCode::OK, Exposition::CONTENT_TYPE, body),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode\n"),
        }
    }
}

/// Whether a `Host` header is `localhost` or an IP address. Any other name may be that of a foreign web site.
fn is_local(host: &HeaderValue) -> bool {
    let Ok(host) = Uri::try_from(host.as_bytes()) else {
        return false;
    };
    let host = host.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn page(registry: &Registry) -> Response<Full<Bytes>> {
    let body = page::render(registry, Instant::now());
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", body);
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(page::content_security_policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Reports whether the process works, and the loops that are stuck.
fn health(registry: &Registry) -> Response<Full<Bytes>> {
    let now = Instant::now();
    let (status, mut body) = match registry.liveness().is_alive(now) {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, "stuck\n".to_owned()),
    };
    let ages = registry.liveness().ages(now);
    for age in ages.iter().filter(|age| LoopAge::is_stuck(age)) {
        body += &format!("stuck main loop {age}\n");
    }
    text(status, body)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_hosts_are_not_local() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9187", true),
            ("127.0.0.1:9187", true),
            ("[::1]:9187", true),
            ("192.0.2.1", true),
            ("example.com", false),
            ("example.com:9187", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
            ("localhost@example.com", false),
            ("", false),
            ("/", false),
        ] {
            let host = HeaderValue::from_static(host);
            assert_eq!(is_local(&host), expected, "{host:?}");
        }
    }
}
