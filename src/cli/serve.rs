//! `nightline serve`.

use std::sync::Arc;

use anyhow::Context;
use nightline_sip::Transport;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::server::Server;

/// Options of `nightline serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check that everything opens, then stop.
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Runs until SIGINT or SIGTERM.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let server = Server::start(Arc::new(config), None).await.context("the server cannot start")?;
        for transport in [Transport::Udp, Transport::Tcp] {
            if let Some(addr) = server.local_addr(transport) {
                tracing::info!(%addr, ?transport, "listening for SIP");
            }
        }
        let shutdown = CancellationToken::new();
        if self.check {
            shutdown.cancel();
        } else {
            tokio::spawn(stop_on_signal(shutdown.clone()));
        }
        server.run(shutdown).await;
        Ok(0)
    }
}

async fn stop_on_signal(shutdown: CancellationToken) {
    super::stopped().await;
    tracing::info!("stopping: calls that run are ended");
    shutdown.cancel();
}
