//! The SIP and RTP edge of Nightline: signalling, sessions, media transport.

mod agent;
mod clock;
mod endpoint;
mod error;
mod message;
mod net;
pub mod rtp;
pub mod sdp;
mod stack;
mod timers;

pub use agent::{EndReason, EndpointConfig, FailCause};
pub use endpoint::{
    Dial, Endpoint, IncomingCall, IncomingCalls, OutgoingCall, OutgoingEvent, Party, Session, SessionEvent,
};
pub use error::Error;
pub use sdp::{Codec, Direction, LocalMedia, MediaParams};
pub use stack::Transport;
