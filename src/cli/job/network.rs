//! How to connect: timeouts, address family, proxy, and trust in TLS certificates.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{capture, environment::Environment};
use crate::{
    cli::args::{Args, values::time_limit},
    core::rtmp::client::config::Timeouts,
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
            .map_or(Some(CONNECT_TIMEOUT), time_limit),
        family: match (args.connection.ipv4, args.connection.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            (false, false) => Family::Any,
        },
        proxy,
        bypass,
        tls: Tls::new(trust(args)?),
        replay: capture::replay(args)?,
    })
}

/// Returns the timeouts of the session.
pub(super) fn timeouts(args: &Args) -> Timeouts {
    match args.timeout {
        Some(seconds) => Timeouts::all(time_limit(seconds)),
        None => Timeouts::default(),
    }
}

/// Returns the proxy and the hosts to reach without it. A proxy given as an option applies to every host.
fn proxy(args: &Args, environment: &Environment) -> Result<(Option<Proxy>, Bypass)> {
    let proxy = match (&args.connection.proxy, &args.connection.socks) {
        (Some(text), _) if text.is_empty() => None,
        (Some(text), _) => Some(text.parse().context("invalid value for --proxy")?),
        (None, Some(socks)) => Some(Proxy {
            protocol: Protocol::Socks4,
            endpoint: socks.clone(),
            login: None,
        }),
        (None, None) => return environment_proxy(environment),
    };
    Ok((proxy, Bypass::default()))
}

fn environment_proxy(environment: &Environment) -> Result<(Option<Proxy>, Bypass)> {
    let text = environment.all_proxy.as_ref();
    let text = text.filter(|text| !text.is_empty());
    let proxy = text.map(|text| text.parse().context("invalid ALL_PROXY"));
    let no_proxy = environment.no_proxy.as_deref().unwrap_or_default();
    Ok((proxy.transpose()?, Bypass::parse(no_proxy)))
}

/// Returns which certificates to trust. `--tls-pin` takes precedence over `--insecure`, so that adding an
/// option never weakens a pin.
fn trust(args: &Args) -> Result<Trust> {
    let roots = match &args.tls.ca_file {
        Some(file) => {
            read_roots(file).with_context(|| format!("cannot use --ca-file {}", file.display()))?
        }
        None => Vec::new(),
    };
    if let Some(pin) = args.tls.tls_pin {
        for (is_given, option) in [
            (args.tls.ca_file.is_some(), "--ca-file"),
            (args.tls.insecure, "--insecure"),
        ] {
            if is_given {
                tracing::warn!("--tls-pin trusts exactly one certificate, ignoring {option}");
            }
        }
        return Ok(Trust::Pin(pin));
    }
    if args.tls.insecure {
        tracing::warn!(
            "--insecure: certificates are not verified; anyone on the network path can read and \
             change the stream"
        );
        if args.tls.ca_file.is_some() {
            tracing::warn!("--insecure trusts any certificate, ignoring --ca-file");
        }
        return Ok(Trust::Any);
    }
    Ok(Trust::Roots(roots))
}

/// Long enough for a slow name lookup or a lost SYN that is sent again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
