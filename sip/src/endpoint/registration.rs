//! Our own registration with an exchange.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::Endpoint;
use crate::agent::{Command, RegistrationState};
use crate::error::Error;
use crate::message::SipUri;
use crate::shell::ToShell;

/// Where to register, and as whom. The password comes from [`crate::EndpointConfig::credentials`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The exchange: `sip:pbx.example;transport=tcp`. A host name is looked up once.
    pub registrar: String,
    /// Our address there: `sip:100@pbx.example`.
    pub aor: String,
    /// The time to ask for, 60 s to a day; the exchange may give another.
    pub expires: Duration,
}

/// A registration that is kept up: refreshed before it ends, tried again with growing waits when it fails, taken back
/// when this is dropped and at [`Endpoint::shutdown`].
#[derive(Debug)]
pub struct Registration {
    id: u64,
    shell: mpsc::UnboundedSender<ToShell>,
    state: watch::Receiver<RegistrationState>,
}

impl Endpoint {
    /// Registers with an exchange, so that it sends our calls here.
    pub async fn register(&self, register: Register) -> Result<Registration, Error> {
        let bad = |reason: &str| Error::Target { uri: register.aor.clone(), reason: reason.to_owned() };
        let aor = SipUri::parse(&register.aor).ok_or_else(|| bad("it is not a SIP URI"))?;
        if aor.user.is_empty() || register.aor.chars().any(|c| c.is_control() || "<> \"".contains(c)) {
            return Err(bad("an address of record is sip:USER@HOST and nothing else"));
        }
        let way = self.resolve(&register.registrar).await?;
        let id = self.last_call.fetch_add(2, Ordering::Relaxed);
        let (state_tx, state) = watch::channel(RegistrationState::Trying);
        let (started, answer) = oneshot::channel();
        let register = Box::new(register);
        let message = ToShell::Register { id, register, way, state: state_tx, started };
        self.shell.send(message).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)??;
        Ok(Registration { id, shell: self.shell.clone(), state })
    }
}

impl Registration {
    /// How it stands now.
    pub fn state(&self) -> RegistrationState {
        self.state.borrow().clone()
    }

    /// Waits for news. What came and went in between is not told; after [`RegistrationState::Ended`] it returns at
    /// once. Safe to drop and call again (in `select!`).
    pub async fn changed(&mut self) -> RegistrationState {
        match self.state.changed().await {
            Ok(()) => self.state.borrow_and_update().clone(),
            Err(_) => RegistrationState::Ended,
        }
    }

    /// Takes it back. [`Registration::changed`] tells when that is done.
    pub fn end(&self) {
        // A stopped endpoint has taken it back already.
        let _ = self.shell.send(ToShell::Command(Command::Unregister { id: self.id }));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}
