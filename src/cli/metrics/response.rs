//! Answers to requests.

use std::{sync::Arc, time::Instant};

use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::{exposition::Exposition, page};
use crate::cli::report::status::{LoopAge, Registry};

/// The pages of the server.
#[derive(Debug)]
pub(super) struct Site {
    registry: Arc<Registry>,
    exposition: Exposition,
}

impl Site {
    pub(super) fn new(registry: Arc<Registry>, exposition: Exposition) -> Self {
        Self {
            registry,
            exposition,
        }
    }

    /// Answers a request for `path`. The connection omits the body if the method is HEAD.
    pub(super) fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let headers = response.headers_mut();
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
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
        body += &format!("no turn of {age}\n");
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
