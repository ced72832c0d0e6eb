//! How connections are made: timers, addresses, proxies, and whom TLS trusts.

use std::time::Duration;

use anyhow::{Context, Result};

use super::environment::Environment;
use crate::{
    cli::args::{Args, values::bound},
    transport::{
        Bypass, Dialer, Family, Proxy, Tls,
        proxy::Protocol,
        tls::{Trust, read_roots},
    },
};

pub(super) fn dialer(args: &Args, environment: &Environment) -> Result<Dialer> {
    let (proxy, bypass) = proxy(args, environment)?;
    Ok(Dialer {
        connect_timeout: args
            .connect_timeout
            .or(args.timeout)
            .map_or(Some(CONNECT_TIMEOUT), bound),
        family: match (args.ipv4, args.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            (false, false) => Family::Any,
        },
        proxy,
        bypass,
        tls: Tls::new(trust(args)?),
    })
}

/// The proxy, and whom it is not for. Who names a proxy means it for every host.
fn proxy(args: &Args, environment: &Environment) -> Result<(Option<Proxy>, Bypass)> {
    let named = match (&args.proxy, &args.socks) {
        (Some(text), _) if text.is_empty() => None,
        (Some(text), _) => Some(text.parse().context("invalid value for --proxy")?),
        (None, Some(socks)) => Some(Proxy {
            protocol: Protocol::Socks4,
            endpoint: socks.0.clone(),
            login: None,
        }),
        (None, None) => return proxy_around(environment),
    };
    Ok((named, Bypass::default()))
}

fn proxy_around(environment: &Environment) -> Result<(Option<Proxy>, Bypass)> {
    let text = environment.all_proxy.as_ref();
    let text = text.filter(|text| !text.is_empty());
    let proxy = text.map(|text| text.parse().context("invalid ALL_PROXY"));
    let no_proxy = environment.no_proxy.as_deref().unwrap_or_default();
    Ok((proxy.transpose()?, Bypass::parse(no_proxy)))
}

/// A pin replaces all other checks, so that nothing is given up where there is one.
fn trust(args: &Args) -> Result<Trust> {
    let roots = match &args.ca_file {
        Some(file) => read_roots(file)
            .with_context(|| format!("cannot take roots from --ca-file {}", file.display()))?,
        None => Vec::new(),
    };
    if let Some(pin) = args.tls_pin {
        for (is_given, option) in [
            (args.ca_file.is_some(), "--ca-file"),
            (args.insecure, "--insecure"),
        ] {
            if is_given {
                tracing::warn!("--tls-pin says which certificate is right, ignoring {option}");
            }
        }
        return Ok(Trust::Pin(pin.0));
    }
    if args.insecure {
        tracing::warn!(
            "--insecure: no certificate is checked; whoever is on the way can pass for the server, \
             read along and change what comes"
        );
        if args.ca_file.is_some() {
            tracing::warn!("ignoring --ca-file, since --insecure trusts everybody");
        }
        return Ok(Trust::Any);
    }
    Ok(Trust::Roots(roots))
}

/// How long each step of making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
