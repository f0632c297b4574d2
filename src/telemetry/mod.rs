//! What Nightline tells those who run it, beside its log: figures for a Prometheus server.

pub mod metrics;
