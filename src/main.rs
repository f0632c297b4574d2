//! The `nightline` command.

fn main() {}
