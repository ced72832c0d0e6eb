//! Address of the metrics server.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// Address that the metrics server listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAddress {
    /// IP address and port.
    Tcp(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for MetricsAddress {
    type Err = String;

    /// Parses `:PORT`, `localhost:PORT`, `ADDRESS:PORT` or `unix:PATH`. Without an address, it is loopback.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the path of the socket is missing".to_owned()),
                _ if !cfg!(unix) => Err("this system has no Unix sockets".to_owned()),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let expected = || "expected ADDRESS:PORT, :PORT or unix:PATH".to_owned();
        match text.rsplit_once(':') {
            Some(("" | "localhost", port)) => {
                let port = port.parse().map_err(|_| expected())?;
                Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into()))
            }
            _ => text.parse().map(Self::Tcp).map_err(|_| expected()),
        }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl MetricsAddress {
    /// Removes the file of a Unix socket. Errors are ignored: the next process replaces it.
    pub(super) fn remove_socket(&self) {
        if let Self::Unix(path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_loopback_unless_it_is_explicit() {
        for (text, expected) in [
            (":9187", "http://127.0.0.1:9187/"),
            ("localhost:9187", "http://127.0.0.1:9187/"),
            ("127.0.0.1:0", "http://127.0.0.1:0/"),
            ("0.0.0.0:9187", "http://0.0.0.0:9187/"),
            ("[::]:9187", "http://[::]:9187/"),
        ] {
            let address: MetricsAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), expected);
        }
        for text in [
            "", "9187", "host:1", ":", ":x", ":70000", "::1:80x", "1.2.3.4",
        ] {
            let error = text.parse::<MetricsAddress>().unwrap_err();
            assert!(error.contains("ADDRESS:PORT"), "{text}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_has_a_path() {
        let address: MetricsAddress = "unix:/run/rtmpull.sock".parse().unwrap();
        assert_eq!(address, MetricsAddress::Unix("/run/rtmpull.sock".into()));
        assert_eq!(address.to_string(), "unix:/run/rtmpull.sock");
        assert!("unix:".parse::<MetricsAddress>().is_err());
    }
}
