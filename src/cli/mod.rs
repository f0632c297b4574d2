//! The commands, one file each.

pub mod completions;
pub mod config;
pub mod doctor;
pub mod record;

/// Exit codes that scripts may rely on (sysexits.h).
pub mod exit {
    /// Something that was checked is wrong.
    pub const WRONG: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// What was asked for is not there.
    pub const NO_INPUT: u8 = 66;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}
