//! Seats that answer in a browser: whose pages are open, and which of them ring.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightline_rtc::Peer;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::webrtc::Ask;
use crate::call::event::HandoffOutcome;
use crate::record::name_of;
use crate::seat::About;
use crate::seat::floor::Floor;

/// A seat whose page was closed is still there for so long: it may have been loaded anew, or the network been changed.
const GRACE: Duration = Duration::from_secs(8);

/// The open pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    /// By seats: who opens a second page closes the first.
    open: Arc<Mutex<HashMap<String, Open>>>,
    opened: Arc<Notify>,
    /// Is told who is there.
    floor: Floor,
    grace: Duration,
}

struct Open {
    id: String,
    told: mpsc::UnboundedSender<Told>,
    ring: Option<Ringing>,
}

struct Ringing {
    id: String,
    /// None once somebody is answering.
    answer: Option<oneshot::Sender<Answer>>,
}

/// What a page is told; as JSON, `type` says which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// It is open.
    Open {
        /// By this name it answers.
        page: String,
        /// Whose it is.
        seat: String,
    },
    /// A caller wants its seat.
    Ring {
        /// By this name it is answered.
        ring: String,
        /// The call.
        call: String,
        /// Why a person is wanted.
        reason: &'static str,
        /// How soon.
        urgency: String,
        /// The caller's number, digits.
        caller: Option<String>,
        /// ISO 639-1 code of what the caller speaks.
        language: String,
        /// What the talk was about last; empty if nothing.
        topic: String,
        /// What opens the screen of the call.
        key: Option<String>,
    },
    /// It rings no more: it was answered, here or elsewhere, or the caller is gone.
    Quiet {
        /// Which.
        ring: String,
    },
    /// The seat has opened another page: this one is over.
    Replaced,
}

/// What comes of a ring.
pub enum Answer {
    /// Somebody is there, and audio flows.
    Taken(Box<Peer>, mpsc::Receiver<Ask>),
    /// The seat declines.
    Declined,
    /// Its browser could not be reached.
    Failed,
}

/// An open page. Dropping it closes it.
pub struct Page {
    seat: String,
    id: String,
    told: mpsc::UnboundedReceiver<Told>,
    pages: Pages,
}

/// A ring that goes on. Dropping it ends it.
struct Ring<'a> {
    pages: &'a Pages,
    seat: &'a str,
    id: String,
}

impl Pages {
    /// None is open yet. `floor` is told which seats are there.
    pub fn new(floor: Floor) -> Self {
        Self { open: Arc::default(), opened: Arc::default(), floor, grace: GRACE }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // Every change is one step. The floor is told under the lock, so that it hears of changes in their order.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page of `seat` is open, and no other one any more.
    pub fn enter(&self, seat: &str) -> Page {
        let (told, page) = mpsc::unbounded_channel();
        let id = Uuid::new_v4().simple().to_string();
        let _ = told.send(Told::Open { page: id.clone(), seat: seat.to_owned() });
        let mut open = self.open();
        if let Some(before) = open.insert(seat.to_owned(), Open { id: id.clone(), told, ring: None }) {
            let _ = before.told.send(Told::Replaced);
        }
        self.floor.set_reachable(seat, true);
        drop(open);
        self.opened.notify_waiters();
        Page { seat: seat.to_owned(), id, told: page, pages: self.clone() }
    }

    /// Rings in the page of `seat` until it answers or `patience` is over; `key` opens the screen of the call. Gives the browser that
    /// answered, and what its page asks for.
    pub async fn ring(
        &self,
        seat: &str,
        call: &str,
        about: &About,
        key: Option<String>,
        patience: Duration,
    ) -> Result<(Box<Peer>, mpsc::Receiver<Ask>), HandoffOutcome> {
        let told = |id: &str| Told::Ring {
            ring: id.to_owned(),
            call: call.to_owned(),
            reason: about.reason.name(),
            urgency: name_of(&about.urgency),
            caller: about.caller.clone(),
            language: about.language.clone(),
            topic: about.topic.clone(),
            key: key.clone(),
        };
        let mut rings = false;
        let answered = async {
            loop {
                let mut opened = std::pin::pin!(self.opened.notified());
                opened.as_mut().enable();
                if let Some((ring, answer)) = self.begin(seat, told) {
                    rings = true;
                    match answer.await {
                        Ok(Answer::Taken(peer, asks)) => return Ok((peer, asks)),
                        Ok(Answer::Declined) => return Err(HandoffOutcome::Declined),
                        Ok(Answer::Failed) => return Err(HandoffOutcome::Unreachable),
                        // The page was closed: the next one of the seat rings on.
                        Err(_) => drop(ring),
                    }
                    rings = false;
                } else if timeout(self.grace, opened).await.is_err() {
                    return Err(HandoffOutcome::Unreachable);
                }
            }
        };
        match timeout(patience, answered).await {
            Ok(answered) => answered,
            Err(_) if rings => Err(HandoffOutcome::NoAnswer),
            Err(_) => Err(HandoffOutcome::Unreachable),
        }
    }

    /// Rings in the page of `seat`, if one is open. The queue knows who may have the seat: who rang there before has left, even if it was
    /// not told so yet.
    fn begin<'a>(
        &'a self,
        seat: &'a str,
        told: impl Fn(&str) -> Told,
    ) -> Option<(Ring<'a>, oneshot::Receiver<Answer>)> {
        let id = Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        let mut open = self.open();
        let page = open.get_mut(seat)?;
        if let Some(before) = page.ring.replace(Ringing { id: id.clone(), answer: Some(sender) }) {
            let _ = page.told.send(Told::Quiet { ring: before.id });
        }
        // A page that is gone has been taken out, or will be.
        let _ = page.told.send(told(&id));
        Some((Ring { pages: self, seat, id }, answer))
    }

    /// By which `ring` on `page` is answered; once.
    pub fn answer(&self, page: &str, ring: &str) -> Option<oneshot::Sender<Answer>> {
        let mut open = self.open();
        let page = open.values_mut().find(|open| open.id == page)?;
        page.ring.as_mut().filter(|ringing| ringing.id == ring)?.answer.take()
    }
}

impl Page {
    /// What it is told next; [`None`] once another page has taken its place.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

impl Pages {
    /// The seat is gone, unless it has a page.
    fn leave(&self, seat: &str) {
        let open = self.open();
        if !open.contains_key(seat) {
            self.floor.set_reachable(seat, false);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut open = self.pages.open();
        if open.get(&self.seat).is_none_or(|open| open.id != self.id) {
            return;
        }
        open.remove(&self.seat);
        drop(open);
        let (pages, seat) = (self.pages.clone(), std::mem::take(&mut self.seat));
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    tokio::time::sleep(pages.grace).await;
                    pages.leave(&seat);
                });
            }
            Err(_) => pages.leave(&seat),
        }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let mut open = self.pages.open();
        let Some(page) = open.get_mut(self.seat) else { return };
        if page.ring.as_ref().is_some_and(|ringing| ringing.id == self.id) {
            page.ring = None;
            let _ = page.told.send(Told::Quiet { ring: self.id.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::Reason;
    use crate::seat::queue::Rules;
    use crate::seat::{Profile, Urgency, Way};

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    fn pages() -> Pages {
        let seat = |id: &str| Profile { id: id.into(), way: Way::Browser, ..Profile::default() };
        let floor = Floor::new(vec![seat("2001"), seat("2002")], Rules::default());
        Pages { grace: SHORT, ..Pages::new(floor) }
    }

    fn is_there(pages: &Pages, id: &str) -> bool {
        pages.floor.seats().iter().any(|seat| seat.profile.id == id && seat.reachable)
    }

    /// How a call to 2001 ends that nobody takes.
    async fn ring(pages: &Pages, patience: Duration) -> HandoffOutcome {
        let about = About {
            reason: Reason::Requested,
            urgency: Urgency::Upset,
            caller: Some("13800138000".into()),
            language: "zh".into(),
            topic: String::new(),
        };
        match pages.ring("2001", "a-call", &about, None, patience).await {
            Ok(_) => panic!("somebody has taken it"),
            Err(outcome) => outcome,
        }
    }

    /// The names of a page and of the call that rings in it.
    async fn rings(page: &mut Page) -> (String, String) {
        let mut name = page.id.clone();
        loop {
            match page.next().await.expect("it is open") {
                Told::Open { page, .. } => name = page,
                Told::Ring { ring, .. } => return (name, ring),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_seat_is_there_as_long_as_its_page_is_open_and_a_moment_longer() {
        let pages = pages();
        assert!(!is_there(&pages, "2001"));
        assert_eq!(ring(&pages, LONG).await, HandoffOutcome::Unreachable);
        let page = pages.enter("2001");
        assert!(is_there(&pages, "2001") && !is_there(&pages, "2002"));
        let (outcome, ()) = tokio::join!(ring(&pages, LONG), async {
            tokio::task::yield_now().await;
            drop(page);
            assert!(is_there(&pages, "2001"), "it may come back");
        });
        assert_eq!(outcome, HandoffOutcome::Unreachable);
        tokio::time::sleep(SHORT).await;
        assert!(!is_there(&pages, "2001"));
    }

    #[tokio::test]
    async fn a_page_that_is_loaded_anew_rings_on() {
        let pages = Pages { grace: LONG, ..pages() };
        let mut page = pages.enter("2001");
        let (outcome, ()) = tokio::join!(ring(&pages, LONG), async {
            let (_, first) = rings(&mut page).await;
            drop(page);
            tokio::task::yield_now().await;
            let mut again = pages.enter("2001");
            let (name, second) = rings(&mut again).await;
            assert_ne!(first, second);
            assert!(pages.answer(&name, &second).expect("it rings").send(Answer::Declined).is_ok());
        });
        assert_eq!(outcome, HandoffOutcome::Declined);
        assert!(is_there(&pages, "2001"), "until the grace is over");
    }

    #[tokio::test]
    async fn a_ring_is_declined_once_and_only_by_its_page() {
        let pages = pages();
        let mut page = pages.enter("2001");
        let other = pages.enter("2002");
        let (outcome, ringing) = tokio::join!(ring(&pages, LONG), async {
            let (name, ringing) = rings(&mut page).await;
            assert!(pages.answer(&other.id, &ringing).is_none());
            assert!(pages.answer(&name, "another").is_none());
            let answer = pages.answer(&name, &ringing).expect("it rings");
            assert!(pages.answer(&name, &ringing).is_none(), "it is answered once");
            assert!(answer.send(Answer::Declined).is_ok());
            ringing
        });
        assert_eq!(outcome, HandoffOutcome::Declined);
        assert_eq!(page.next().await, Some(Told::Quiet { ring: ringing }));
    }

    #[tokio::test]
    async fn a_ring_ends_when_nobody_answers_or_the_caller_leaves() {
        let pages = pages();
        let mut page = pages.enter("2001");
        assert_eq!(ring(&pages, SHORT).await, HandoffOutcome::NoAnswer);
        let (name, first) = rings(&mut page).await;
        assert_eq!(page.next().await, Some(Told::Quiet { ring: first }));
        let left = tokio::time::timeout(SHORT, ring(&pages, LONG)).await;
        assert!(left.is_err(), "the caller has left");
        let (_, second) = rings(&mut page).await;
        assert_eq!(page.next().await, Some(Told::Quiet { ring: second.clone() }));
        assert!(pages.answer(&name, &second).is_none());
    }

    #[tokio::test]
    async fn who_was_offered_the_seat_last_rings_there() {
        let pages = pages();
        let mut page = pages.enter("2001");
        let (_, second, third) =
            tokio::join!(tokio::time::timeout(SHORT, ring(&pages, LONG)), ring(&pages, LONG), async {
                let (_, first) = rings(&mut page).await;
                assert_eq!(page.next().await, Some(Told::Quiet { ring: first }));
                let (name, second) = rings(&mut page).await;
                pages.answer(&name, &second).expect("it rings").send(Answer::Declined).is_ok()
            });
        assert_eq!((second, third), (HandoffOutcome::Declined, true));
    }

    #[tokio::test]
    async fn the_newest_page_is_the_one() {
        let pages = pages();
        let mut first = pages.enter("2001");
        let mut second = pages.enter("2001");
        assert!(matches!(first.next().await, Some(Told::Open { .. })));
        assert_eq!(first.next().await, Some(Told::Replaced));
        assert_eq!(first.next().await, None);
        drop(first);
        tokio::time::sleep(2 * SHORT).await;
        assert!(is_there(&pages, "2001"), "by the other page");
        assert_eq!(ring(&pages, SHORT).await, HandoffOutcome::NoAnswer);
        rings(&mut second).await;
    }
}
