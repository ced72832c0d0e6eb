//! Chunks ⇄ messages (RTMP 5.3).
