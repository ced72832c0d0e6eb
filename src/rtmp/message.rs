//! Messages and the payloads of the control ones (RTMP 5.4, 7.1).
