//! Nightline: a voice bridge between a telephone hotline and a machine that can listen, think, speak and act.
//!
//! [`call::Call`] is the sans-IO core of one call; [`driver`] runs it; the rest are what it runs on. ARCHITECTURE.md
//! draws the whole.

pub mod api;
pub mod asr;
pub mod backoffice;
pub mod calendar;
pub mod call;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dialogue;
mod digest;
pub mod driver;
pub mod hook;
pub mod kb;
pub mod leg;
pub mod logistic;
pub mod media;
pub mod qa;
pub mod record;
pub mod screen;
pub mod seat;
pub mod segment;
pub mod server;
pub mod services;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod tts;
pub mod ua;
