//! The queue by itself: who is served by whom, and that nobody waits for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use super::queue::{Queue, Rules, State};
use super::{Need, News, Place, Profile, Urgency, Wish};
use crate::call::event::HandoffOutcome;
use crate::clock::Time;

fn at(seconds: u64) -> Time {
    Time::from_start(Duration::from_secs(seconds))
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

fn seat(id: &str, skills: &[&str], languages: &[&str]) -> Profile {
    let uri = format!("sip:{id}@pbx");
    Profile { id: id.into(), uri, skills: set(skills), languages: set(languages), ..Profile::default() }
}

fn queue(seats: &[&str]) -> Queue {
    Queue::new(seats.iter().map(|id| seat(id, &[], &[])).collect(), Rules::default())
}

fn need(urgency: Urgency) -> Need {
    Need { language: "zh".into(), urgency, ..Need::default() }
}

fn enter(queue: &mut Queue, now: Time, call: &str) {
    queue.wish(now, call, Wish::Enter(need(Urgency::Normal)));
}

/// All news so far, as `call: …`.
fn news(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.poll())
        .map(|(call, news)| match news {
            News::Waiting(Place { ahead, .. }) => format!("{call}: {ahead} ahead"),
            News::Offer { attempt, seats } => {
                let seats: Vec<_> = seats.iter().map(|s| s.seat.as_str()).collect();
                format!("{call}: offer {attempt} {}", seats.join("+"))
            }
            News::Nobody { why, .. } => format!("{call}: nobody {why:?}"),
        })
        .collect()
}

fn answered(queue: &mut Queue, now: Time, call: &str, attempt: u32, seat: &str) {
    queue.wish(now, call, Wish::Answered { attempt, seat: seat.into() });
}

fn failed(queue: &mut Queue, now: Time, call: &str, attempt: u32, seat: &str, outcome: HandoffOutcome) {
    queue.wish(now, call, Wish::Failed { attempt, seat: seat.into(), outcome });
}

#[test]
fn danger_comes_before_anger_before_patience() {
    let mut queue = queue(&["a"]);
    enter(&mut queue, at(0), "first");
    answered(&mut queue, at(1), "first", 1, "a");
    enter(&mut queue, at(2), "calm");
    queue.wish(at(3), "angry", Wish::Enter(need(Urgency::Upset)));
    queue.wish(at(4), "burning", Wish::Enter(need(Urgency::Safety)));
    assert_eq!(
        news(&mut queue),
        [
            "first: offer 1 a",
            "calm: 0 ahead",
            "angry: 0 ahead",
            "calm: 1 ahead",
            "burning: 0 ahead",
            "angry: 1 ahead",
            "calm: 2 ahead"
        ]
    );
    queue.wish(at(60), "first", Wish::Leave);
    assert_eq!(news(&mut queue), [""; 0], "the seat writes up its conversation first");
    queue.tick(at(71));
    assert_eq!(news(&mut queue), ["burning: offer 2 a", "angry: 0 ahead", "calm: 1 ahead"]);
}

#[test]
fn who_turns_out_to_be_worth_more_is_sooner_but_not_before_danger_and_keeps_its_place_among_equals() {
    let mut queue = queue(&["a"]);
    enter(&mut queue, at(0), "talking");
    for call in ["first", "second", "gold"] {
        enter(&mut queue, at(1), call);
    }
    queue.wish(at(2), "angry", Wish::Enter(need(Urgency::Upset)));
    let gold = Need { value: 2, ..need(Urgency::Normal) };
    queue.wish(at(3), "gold", Wish::Change(gold.clone()));
    queue.wish(at(3), "first", Wish::Change(need(Urgency::Normal)));
    // It has a seat already.
    queue.wish(at(3), "talking", Wish::Change(gold));
    let order = ["talking", "angry", "gold", "first", "second"];
    for (n, call) in order.into_iter().enumerate() {
        let offered: Vec<String> =
            news(&mut queue).into_iter().filter(|told| told.contains("offer")).collect();
        assert_eq!(offered, [format!("{call}: offer {} a", n + 1)]);
        queue.wish(at(10 * (n as u64 + 1)), call, Wish::Leave);
    }
}

#[test]
fn the_seat_that_has_been_idle_longest_is_called() {
    let mut queue = queue(&["a", "b"]);
    enter(&mut queue, at(0), "one");
    answered(&mut queue, at(1), "one", 1, "a");
    queue.wish(at(30), "one", Wish::Leave);
    enter(&mut queue, at(100), "two");
    queue.wish(at(101), "two", Wish::Leave);
    enter(&mut queue, at(102), "three");
    assert_eq!(news(&mut queue), ["one: offer 1 a", "two: offer 2 b", "three: offer 3 a"]);
}

#[test]
fn skill_and_language_decide_and_skill_gives_way_after_a_while() {
    let seats =
        vec![seat("rescue", &["rescue"], &["zh"]), seat("en", &[], &["en"]), seat("zh", &["sales"], &["zh"])];
    let mut queue = Queue::new(seats, Rules::default());
    let rescue = Need { skill: Some("rescue".into()), ..need(Urgency::Normal) };
    queue.wish(at(0), "one", Wish::Enter(rescue.clone()));
    queue.wish(at(0), "two", Wish::Enter(rescue));
    queue.wish(at(0), "three", Wish::Enter(Need { language: "en".into(), ..Need::default() }));
    assert_eq!(news(&mut queue), ["one: offer 1 rescue", "two: 0 ahead", "three: offer 2 en"]);
    queue.tick(at(29));
    assert_eq!(news(&mut queue), [""; 0]);
    queue.tick(at(30));
    assert_eq!(news(&mut queue), ["two: offer 3 zh"]);
}

#[test]
fn seats_that_ring_together_are_free_again_when_one_answers() {
    let rules = Rules { parallel: 2, ..Rules::default() };
    let mut queue = Queue::new(vec![seat("a", &[], &[]), seat("b", &[], &[]), seat("c", &[], &[])], rules);
    enter(&mut queue, at(0), "one");
    enter(&mut queue, at(1), "two");
    answered(&mut queue, at(2), "one", 1, "b");
    assert_eq!(news(&mut queue), ["one: offer 1 a+b", "two: offer 2 c"]);
    let states: Vec<_> = queue.seats().iter().map(|s| s.state.name()).collect();
    assert_eq!(states, ["available", "busy", "ringing"]);
}

#[test]
fn a_caller_whom_no_seat_took_hears_why() {
    let mut queue = queue(&["a", "b"]);
    enter(&mut queue, at(0), "one");
    failed(&mut queue, at(20), "one", 1, "a", HandoffOutcome::NoAnswer);
    failed(&mut queue, at(21), "one", 2, "b", HandoffOutcome::Declined);
    assert_eq!(news(&mut queue), ["one: offer 1 a", "one: offer 2 b", "one: nobody Declined"]);
    // Both are left alone for a moment, and the next caller waits for them.
    enter(&mut queue, at(22), "two");
    assert_eq!(news(&mut queue), ["two: 0 ahead"]);
    queue.tick(at(50));
    assert_eq!(news(&mut queue), ["two: offer 3 a"]);
    // One that fails again rests twice as long.
    failed(&mut queue, at(50), "two", 3, "a", HandoffOutcome::NoAnswer);
    queue.tick(at(109));
    assert_eq!(queue.seats()[0].state, State::Resting);
    queue.tick(at(111));
    assert_eq!(queue.seats()[0].state, State::Available);
}

#[test]
fn late_news_of_an_old_offer_change_nothing() {
    let mut queue = queue(&["a", "b"]);
    enter(&mut queue, at(0), "one");
    failed(&mut queue, at(20), "one", 1, "a", HandoffOutcome::NoAnswer);
    answered(&mut queue, at(21), "one", 1, "a");
    failed(&mut queue, at(21), "one", 1, "b", HandoffOutcome::Busy);
    assert_eq!(queue.seats()[1].state.name(), "ringing");
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    let mut queue = queue(&["a"]);
    enter(&mut queue, at(0), "one");
    answered(&mut queue, at(1), "one", 1, "a");
    enter(&mut queue, at(2), "two");
    queue.tick(at(301));
    news(&mut queue);
    queue.tick(at(302));
    assert_eq!(news(&mut queue), ["two: nobody TooLong"]);
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn a_full_queue_and_an_empty_floor_are_told_at_once() {
    let rules = Rules { max_waiting: 1, ..Rules::default() };
    let mut full = Queue::new(vec![seat("a", &[], &[])], rules);
    for call in ["one", "two", "three"] {
        enter(&mut full, at(0), call);
        answered(&mut full, at(0), "one", 1, "a");
    }
    assert_eq!(news(&mut full), ["one: offer 1 a", "two: 0 ahead", "three: nobody QueueFull"]);
    let mut none = queue(&[]);
    enter(&mut none, at(0), "one");
    assert_eq!(news(&mut none), ["one: nobody NoSeat"]);
    let mut off = queue(&["a"]);
    off.set_duty("a", false);
    off.set_opens(Some("明天上午九点".into()));
    off.wish(at(0), "one", Wish::Enter(need(Urgency::Normal)));
    let told = off.poll().map(|(_, news)| news);
    let why = HandoffOutcome::OutOfHours;
    assert_eq!(told, Some(News::Nobody { why, opens: Some("明天上午九点".into()) }));
}

#[test]
fn a_seat_that_goes_away_finishes_its_call() {
    let mut queue = queue(&["a"]);
    enter(&mut queue, at(0), "one");
    answered(&mut queue, at(1), "one", 1, "a");
    assert!(queue.set_away(at(2), "a", true));
    assert_eq!(queue.seats()[0].state.name(), "busy");
    queue.wish(at(9), "one", Wish::Leave);
    assert_eq!(queue.seats()[0].state, State::Away);
    enter(&mut queue, at(10), "two");
    news(&mut queue);
    assert!(queue.set_away(at(11), "a", false) && !queue.set_away(at(11), "nobody", false));
    assert_eq!(queue.seats()[0].state, State::Available);
}

#[test]
fn the_expected_wait_follows_from_what_conversations_last() {
    let mut queue = queue(&["a"]);
    enter(&mut queue, at(0), "one");
    answered(&mut queue, at(0), "one", 1, "a");
    queue.wish(at(120), "one", Wish::Leave);
    enter(&mut queue, at(121), "two");
    enter(&mut queue, at(121), "three");
    let places: Vec<_> = std::iter::from_fn(|| queue.poll())
        .filter_map(|(_, news)| match news {
            News::Waiting(place) => Some((place.ahead, place.expected.map(|wait| wait.as_secs()))),
            _ => None,
        })
        .collect();
    assert_eq!(places, [(0, Some(120)), (1, Some(240))]);
}
