//! The SIP and RTP edge of Nightline: signalling, sessions, media transport.

pub mod rtp;
