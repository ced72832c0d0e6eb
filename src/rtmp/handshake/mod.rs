//! C0 … S2 as a state machine (RTMP 5.2).
