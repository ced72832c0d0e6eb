//! A byte pipe to a host. Knows no RTMP.
