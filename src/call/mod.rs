//! The sans-IO core of one call.

pub mod event;
