//! Seats that register here: the floor is told who is there, the store where, so that a restart forgets nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use nightline_sip::{Binding, Endpoint};

use crate::seat::Way;
use crate::seat::floor::Floor;
use crate::store::Store;

/// Refreshes are not told: the store hears of new expiry times at this interval.
const KEEP: Duration = Duration::from_secs(30);

/// Takes back the registrations of an earlier run. Call it before any call is taken.
pub(super) async fn restore(endpoint: &Endpoint, store: &Store, floor: &Floor) {
    match store.registrations().await {
        Ok(kept) => endpoint.restore(kept).await,
        Err(error) => {
            tracing::error!(%error, "earlier registrations cannot be read: seats have to register again");
        }
    }
    tell(floor, &endpoint.bindings(None).await);
}

/// Works until the endpoint stops or the future is dropped.
pub(super) async fn run(endpoint: Endpoint, store: Store, floor: Floor) {
    let mut events = endpoint.seats();
    let mut ticks = tokio::time::interval(KEEP);
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            _ = ticks.tick() => {}
        }
        let bindings = endpoint.bindings(None).await;
        tell(&floor, &bindings);
        if let Err(error) = store.keep_registrations(&bindings).await {
            tracing::error!(%error, "registrations are not kept: after a restart seats have to register again");
        }
    }
}

fn tell(floor: &Floor, bindings: &[Binding]) {
    let there: BTreeSet<&str> = bindings.iter().map(|binding| binding.user.as_str()).collect();
    for seat in floor.seats().iter().filter(|seat| seat.profile.way == Way::Registers) {
        floor.set_reachable(&seat.profile.id, there.contains(seat.profile.id.as_str()));
    }
}
