//! `nightline completions SHELL`: what a shell needs to complete our commands.

use std::io::{self, Write};

use clap::CommandFactory;

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// Arguments of `nightline completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// For which shell; for bash, put `source <(nightline completions bash)` into ~/.bashrc.
    pub shell: Shell,
}

impl Completions {
    /// Writes the completions of the command line `C`.
    pub fn run<C: CommandFactory>(&self, out: &mut dyn Write) -> io::Result<()> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut C::command(), "nightline", &mut script);
        out.write_all(&script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    #[command(name = "nightline")]
    struct Cli {
        #[command(subcommand)]
        _command: crate::cli::config::ConfigCommand,
    }

    #[test]
    fn every_shell_gets_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut out = Vec::new();
            Completions { shell }.run::<Cli>(&mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(script.contains("nightline") && script.contains("dump"), "{shell:?}: {script}");
        }
    }
}
