//! The screen-pop: a page for the seat that gets a call, live while the call is on and from its record afterwards.
//!
//! `GET /screen/CALL?key=KEY` is the page, `…/events` its state as server-sent events, `…/ask` looks an entry up. The key opens one
//! call's page and nothing else, so its address can travel with the call to the seat ([`Screens::url`]).
//!
//! A tap folds what happens in a call ([`fold`]) into a [`Picture`](fold::Picture), which is replaced as a whole: whoever looks takes
//! the newest one ([`live`]), and each page is told what is different from the one that it has ([`view`]). So a call never waits for a page,
//! and a page that reads slowly skips what is no longer so, instead of being queued for.

mod fold;
mod key;
mod live;
mod page;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use axum::Router;

use self::key::Keys;
use self::live::Live;
use self::view::View;
use crate::config::Http;
use crate::dialogue::Mind;
use crate::dialogue::tenant::{Profile, Tenant};
use crate::record::{CallInfo, Tap};
use crate::store::Store;

/// The pages of all calls. Cheap to clone.
#[derive(Clone)]
pub struct Screens(Arc<Inner>);

struct Inner {
    keys: Keys,
    base: Option<String>,
    live: Live,
    view: View,
    profile: Option<Arc<Profile>>,
}

impl Screens {
    /// Pages of calls that are answered for `tenant`; `mind` makes the summary that is not told yet. Without a secret in `http`
    /// one is drawn, and the addresses of this process open nothing after the next start.
    pub fn new(http: &Http, tenant: Arc<Tenant>, mind: Arc<dyn Mind>) -> Self {
        let profile = tenant.config.profile.clone().map(Arc::new);
        Self(Arc::new(Inner {
            keys: Keys::new(http.secret.as_ref()),
            base: http.public_url.clone(),
            live: Live::default(),
            view: View::new(tenant, mind),
            profile,
        }))
    }

    /// Where the page of `call` is, with its key: `https://HOST/screen/CALL?key=HEX`. [`None`] without `http.public_url`.
    pub fn url(&self, call: &str) -> Option<String> {
        let base = self.0.base.as_ref()?;
        Some(format!("{base}/screen/{call}?key={}", self.0.keys.key(call)))
    }

    /// What opens the page of `call`: HMAC-SHA256 of its id, hexadecimal.
    pub fn key(&self, call: &str) -> String {
        self.0.keys.key(call)
    }

    /// Shows what happens in a call that begins. Nothing in it waits.
    pub fn tap(&self, info: &CallInfo) -> Box<dyn Tap> {
        Box::new(self.0.live.begin(info, self.0.profile.clone()))
    }

    /// The routes under `/screen`; calls that are over are read from `store`.
    pub fn routes(&self, store: Store) -> Router {
        page::routes(self.clone(), store)
    }
}
