//! The commands of `nightline`, one file each.

pub mod models;
