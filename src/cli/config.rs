//! `nightline config check|dump`: what the configuration is, and what is wrong with it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::exit;
use crate::config::{Error, Loaded};

/// Subcommands of `nightline config`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file together with the environment; exit 78 if something is wrong.
    Check {
        /// The file; otherwise that of --config, or nightline.toml if it is there.
        file: Option<PathBuf>,
    },
    /// Print the configuration in effect: defaults, file and environment, keys of servers hidden.
    Dump {
        /// The file; otherwise that of --config, or nightline.toml if it is there.
        file: Option<PathBuf>,
        /// As JSON instead of TOML.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    /// Runs with `--config` given as `file` and the environment `vars`. Gives the exit code.
    pub fn run(
        &self,
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (String, String)>,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<u8> {
        let (Self::Check { file: named } | Self::Dump { file: named, .. }) = self;
        let loaded = match Loaded::read(named.as_deref().or(file), vars) {
            Ok(loaded) => loaded,
            Err(error) => {
                report(&error, err)?;
                return Ok(exit::CONFIG);
            }
        };
        match self {
            Self::Check { .. } => match &loaded.file {
                Some(file) => writeln!(out, "{} is valid", file.display())?,
                None => writeln!(out, "no file is read; the defaults and the environment are valid")?,
            },
            Self::Dump { json: true, .. } => {
                serde_json::to_writer_pretty(&mut *out, &loaded.raw)?;
                writeln!(out)?;
            }
            Self::Dump { json: false, .. } => {
                write!(out, "{}", toml::to_string(&loaded.raw).map_err(io::Error::other)?)?;
            }
        }
        Ok(0)
    }
}

/// Writes what is wrong with a configuration, a line each.
pub fn report(error: &Error, err: &mut dyn Write) -> io::Result<()> {
    for line in error.to_string().lines() {
        writeln!(err, "error: {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &ConfigCommand, vars: &[(&str, &str)]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let vars = vars.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string()));
        let code = command.run(None, vars, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_dump_reads_back_as_the_same_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dumped.toml");
        let vars = [("NIGHTLINE_SIP__MAX_CALLS", "11"), ("NIGHTLINE_SEATS__TARGETS", "sip:a@b")];
        let (code, dump, _) = run(&ConfigCommand::Dump { file: None, json: false }, &vars);
        assert_eq!(code, 0);
        assert!(dump.contains("max_calls = 11"), "{dump}");
        std::fs::write(&file, &dump).unwrap();
        let (_, again, err) = run(&ConfigCommand::Dump { file: Some(file), json: false }, &[]);
        assert_eq!(again, dump, "{err}");
    }

    #[test]
    fn a_dump_hides_keys() {
        let vars = [
            ("NIGHTLINE_LLM__URL", "http://h/v1"),
            ("NIGHTLINE_LLM__MODEL", "m"),
            ("NIGHTLINE_LLM__API_KEY", "sk-geheim"),
        ];
        for json in [false, true] {
            let (code, dump, _) = run(&ConfigCommand::Dump { file: None, json }, &vars);
            assert_eq!(code, 0);
            assert!(dump.contains("(hidden)") && !dump.contains("geheim"), "{dump}");
        }
    }

    #[test]
    fn a_dump_in_json_is_json() {
        let (_, dump, _) = run(&ConfigCommand::Dump { file: None, json: true }, &[]);
        let value: serde_json::Value = serde_json::from_str(&dump).unwrap();
        assert_eq!(value["rtp"]["ports"][0], 20_000);
    }

    #[test]
    fn a_bad_file_is_explained_on_stderr_and_exits_78() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.toml");
        std::fs::write(&file, "[sip]\nlisen = []\n[log]\nformat = \"xml\"\n").unwrap();
        let (code, out, err) = run(&ConfigCommand::Check { file: Some(file.clone()) }, &[]);
        assert_eq!((code, out.as_str()), (exit::CONFIG, ""));
        let name = file.display();
        assert_eq!(
            err,
            format!(
                "error: unknown key `sip.lisen` in {name} line 2: did you mean `sip.listen`?\n\
                 error: `log.format` in {name} line 4: \"xml\" is not one of \"text\" or \"json\"\n"
            )
        );
    }

    #[test]
    fn a_good_file_is_said_to_be_valid() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("good.toml");
        std::fs::write(&file, "[sip]\nmax_calls = 3\n").unwrap();
        let (code, out, err) = run(&ConfigCommand::Check { file: Some(file.clone()) }, &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(out, format!("{} is valid\n", file.display()));
    }
}
