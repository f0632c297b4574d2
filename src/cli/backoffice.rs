//! `nightline backoffice`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::backoffice::{BackOffice, Options};

/// Options of `nightline backoffice`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// The database; it is made and filled with the reference data if it is missing.
    #[arg(long, value_name = "FILE", default_value = "var/backoffice.db")]
    database: PathBuf,
    /// Keep nothing: the reference data each time anew.
    #[arg(long, conflicts_with = "database")]
    memory: bool,
    /// A clock that stands still, for demonstrations: 2026-11-21T22:00:00+08:00.
    #[arg(long, value_name = "TIME")]
    now: Option<jiff::Timestamp>,
    /// A file with the token that clients must send as `Authorization: Bearer …`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Speak the Model Context Protocol over standard input and output, for `tools.mcp_command`; nothing listens for others.
    #[arg(long, conflicts_with_all = ["listen", "token_file"])]
    mcp: bool,
    /// Print the OpenAPI document and stop.
    #[arg(long)]
    openapi: bool,
}

impl Args {
    /// Serves until SIGINT or SIGTERM.
    pub async fn run(self) -> anyhow::Result<u8> {
        if self.openapi {
            let document = BackOffice::openapi().to_pretty_json()?;
            writeln!(io::stdout(), "{document}")?;
            return Ok(0);
        }
        if self.mcp {
            let database = (!self.memory).then_some(self.database);
            // Its own routes are asked over a loopback port, which nobody else shall use.
            let token = Some(uuid::Uuid::now_v7().to_string().into());
            let office = BackOffice::open(Options { database, now: self.now, token, seed: true }).await?;
            office.serve_stdio().await?;
            return Ok(0);
        }
        let token = self.token()?;
        if token.is_none() && !self.listen.ip().is_loopback() {
            bail!(
                "{} is open to other machines, and the back office holds personal data: give --token-file, or listen on 127.0.0.1",
                self.listen
            );
        }
        let listener = TcpListener::bind(self.listen).await.with_context(|| {
            format!("cannot listen on {}: stop what uses the port, or give another --listen", self.listen)
        })?;
        let database = (!self.memory).then_some(self.database);
        let office = BackOffice::open(Options { database, now: self.now, token, seed: true }).await?;
        tracing::info!(addr = %listener.local_addr()?, "the back office is open: see / and /openapi.json");
        office.serve(listener, stopped()).await?;
        Ok(0)
    }

    fn token(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the token of {}: check --token-file", path.display()))?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("{} holds no token: write one line of visible ASCII characters into it", path.display());
        }
        Ok(Some(token.into()))
    }
}

async fn stopped() {
    super::stopped().await;
    tracing::info!("stopping: requests that have begun are answered");
}
