//! Seats: who has registered, where they are, and calling them there.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::{broadcast, oneshot};

use super::{Dial, Endpoint, OutgoingCall};
use crate::agent::EndpointConfig;
use crate::error::Error;
use crate::message::SipUri;
use crate::registrar::{Binding, RegistrarEvent};
use crate::shell::{ToShell, Way};
use crate::stack::Transport;

/// Events that a slow reader may leave unread; then it is told [`RegistrarEvent::Missed`].
pub(super) const BACKLOG: usize = 1024;

/// What happens to the registrations of seats, from the moment that this was asked for.
#[derive(Debug)]
pub struct Seats {
    events: broadcast::Receiver<RegistrarEvent>,
}

impl Seats {
    /// The next event; `None` when the endpoint has stopped. Safe to drop and call again (in `select!`).
    pub async fn next(&mut self) -> Option<RegistrarEvent> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(RegistrarEvent::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Endpoint {
    /// A stream of what happens to registrations from now on.
    pub fn seats(&self) -> Seats {
        Seats { events: self.seats.resubscribe() }
    }

    /// Where this user can be called, the preferred contact first; of all users with `None`. Empty when nobody has
    /// registered or the endpoint has stopped. To keep registrations over a restart, store these with the time and
    /// give them to [`Endpoint::restore`] with what has passed taken from [`Binding::expires_in`].
    pub async fn bindings(&self, user: Option<&str>) -> Vec<Binding> {
        let (reply, bindings) = oneshot::channel();
        let question = ToShell::Bindings { user: user.map(str::to_owned), reply };
        match self.shell.send(question) {
            Ok(()) => bindings.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Takes the contacts of an earlier run back, as far as their accounts still exist. A contact over TCP from behind
    /// NAT is left out: the connection that it was reached by is gone. Returns when they can be called.
    pub async fn restore(&self, bindings: Vec<Binding>) {
        let (done, wait) = oneshot::channel();
        if self.shell.send(ToShell::Restore { bindings, done }).is_ok() {
            let _ = wait.await;
        }
    }

    /// Calls one contact of a seat, as [`Endpoint::bindings`] gives it. Several calls at once are a fork: each has
    /// its own media, and the application cancels those that are too late. `dial.target` is what goes into `To`.
    pub async fn dial_binding(&self, dial: Dial, binding: &Binding) -> Result<OutgoingCall, Error> {
        let way = Way::Seat { user: binding.user.clone(), contact: Some(binding.contact.clone()) };
        self.start(dial, way).await
    }
}

/// Which URIs are seats of this endpoint.
#[derive(Debug)]
pub(super) struct Local {
    users: HashSet<String>,
    realms: Vec<String>,
    addrs: Vec<SocketAddr>,
    external_ip: Option<IpAddr>,
}

impl Local {
    pub(super) fn new(config: &EndpointConfig, locals: &[(Transport, SocketAddr)]) -> Self {
        let own = config.accounts.iter().filter_map(|account| account.realm.clone());
        Self {
            users: config.accounts.iter().map(|account| account.user.clone()).collect(),
            realms: std::iter::once(config.registrar.realm.clone()).chain(own).collect(),
            addrs: locals.iter().map(|(_, addr)| *addr).collect(),
            external_ip: config.external_ip,
        }
    }

    /// The account that a URI means, if it is one of ours at one of our names or addresses.
    pub(super) fn seat(&self, uri: &SipUri<'_>) -> Option<String> {
        let user = self.users.get(uri.user)?;
        let named =
            uri.port.is_none() && self.realms.iter().any(|realm| realm.eq_ignore_ascii_case(uri.host));
        let here = |addr: SocketAddr| {
            self.addrs.iter().any(|ours| {
                let same = ours.ip() == addr.ip()
                    || Some(addr.ip()) == self.external_ip
                    || (ours.ip().is_unspecified() && addr.ip().is_loopback());
                same && ours.port() == addr.port()
            })
        };
        (named || uri.addr().is_some_and(here)).then(|| user.clone())
    }
}
