//! The calls that run, each with its newest picture.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::fold::{Fold, Picture};
use crate::call::event::Event;
use crate::dialogue::tenant::Profile;
use crate::record::{CallInfo, Tap};

/// Pages of one call that may be open at a time.
const PAGES: usize = 16;
/// How long a call that is over is kept: until its record is surely stored.
const GRACE: Duration = Duration::from_secs(30);

/// The calls that run. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    calls: Arc<Mutex<HashMap<String, Shown>>>,
    grace: Duration,
}

struct Shown {
    pictures: watch::Receiver<Picture>,
    pages: Arc<Semaphore>,
}

/// A page's look at a call that runs.
pub(super) struct Look {
    /// The newest picture; closed when the call is gone.
    pub pictures: watch::Receiver<Picture>,
    _page: OwnedSemaphorePermit,
}

/// Too many pages of this call are open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Default for Live {
    fn default() -> Self {
        Self { calls: Arc::default(), grace: GRACE }
    }
}

impl Live {
    /// A call begins: what its tap is told can be seen from now on.
    pub fn begin(&self, info: &CallInfo, profile: Option<Arc<Profile>>) -> CallTap {
        let fold = Fold::new(info, profile);
        let (pictures, seen) = watch::channel(fold.picture().clone());
        let shown = Shown { pictures: seen, pages: Arc::new(Semaphore::new(PAGES)) };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(info.id.clone(), shown);
        CallTap { id: info.id.clone(), fold, pictures, live: self.clone() }
    }

    /// A look at `call`; [`None`] if it does not run and is not just over.
    pub fn look(&self, call: &str) -> Option<Result<Look, Crowded>> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = calls.get(call)?;
        let page = shown.pages.clone().try_acquire_owned().map_err(|_| Crowded);
        Some(page.map(|page| Look { pictures: shown.pictures.clone(), _page: page }))
    }

    fn forget(&self, call: &str) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(call);
    }
}

/// Draws a new picture of its call at every event. Only the newest is kept, so nothing ever waits for who looks.
pub(super) struct CallTap {
    id: String,
    fold: Fold,
    pictures: watch::Sender<Picture>,
    live: Live,
}

impl Tap for CallTap {
    fn event(&mut self, event: &Event) {
        if self.fold.event(event) {
            self.pictures.send_replace(self.fold.picture().clone());
        }
    }
}

impl Drop for CallTap {
    fn drop(&mut self) {
        let (live, id) = (self.live.clone(), std::mem::take(&mut self.id));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    tokio::time::sleep(live.grace).await;
                    live.forget(&id);
                });
            }
            Err(_) => live.forget(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::EventKind;
    use crate::clock::Time;

    fn info() -> CallInfo {
        CallInfo { id: "0191-a".into(), ..CallInfo::default() }
    }

    #[tokio::test]
    async fn a_call_is_forgotten_after_its_end() {
        let live = Live { grace: Duration::from_millis(1), ..Live::default() };
        let tap = live.begin(&info(), None);
        let mut look = live.look("0191-a").expect("it runs").expect("nobody else looks");
        assert!(live.look("0191-b").is_none(), "another call");
        drop(tap);
        assert!(look.pictures.changed().await.is_err(), "the page is told that nothing follows");
        tokio::time::timeout(Duration::from_secs(5), async {
            while live.look("0191-a").is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("it is forgotten");
    }

    #[tokio::test]
    async fn only_so_many_pages_of_a_call_are_open() {
        let live = Live::default();
        let mut tap = live.begin(&info(), None);
        let looks: Vec<_> = (0..PAGES).map(|_| live.look("0191-a").expect("it runs")).collect();
        assert!(looks.iter().all(Result::is_ok));
        assert_eq!(live.look("0191-a").expect("it runs").err(), Some(Crowded));
        drop(looks);
        tap.event(&Event { at: Time::ZERO, kind: EventKind::Bridged });
        assert!(live.look("0191-a").expect("it runs").is_ok(), "a page that was closed makes room");
    }
}
