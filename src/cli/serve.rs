//! `nightline serve`.

use std::sync::Arc;

use anyhow::Context;
use nightline_sip::Transport;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::server::{Certificates, Server};

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
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            if let Some(addr) = server.local_addr(transport) {
                tracing::info!(%addr, ?transport, "listening for SIP");
            }
        }
        let (websockets, audiosockets) = server.media_addrs();
        if let Some(addr) = websockets {
            tracing::info!(%addr, "listening for media streams by WebSocket");
        }
        if let Some(addr) = audiosockets {
            tracing::info!(%addr, "listening for AudioSocket");
        }
        let _reloading = server.certificates().map(|own| AbortOnDropHandle::new(tokio::spawn(reload(own))));
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

/// Reads certificates anew at each SIGHUP.
async fn reload(certificates: Certificates) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return tracing::error!(%error, "certificates cannot be read anew: SIGHUP is not heard"),
    };
    while hangups.recv().await.is_some() {
        match certificates.reload().await {
            Ok(()) => tracing::info!("certificates were read anew"),
            Err(error) => tracing::error!(%error, "the certificates in use are kept"),
        }
    }
}

async fn stop_on_signal(shutdown: CancellationToken) {
    super::stopped().await;
    tracing::info!("stopping: calls that run are ended");
    shutdown.cancel();
}
