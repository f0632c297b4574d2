//! Options by their time: 最早的, "the later one".

use super::{Said, Verdict};
use crate::dialogue::slots::clock::Clock;
use crate::dialogue::slots::date::{Day, Month};

/// Of any number of options.
const EARLIEST: [&str; 8] =
    ["最早", "越早越好", "越快越好", "最快", "最近的时间", "earliest", "soonest", "as soon as possible"];
const LATEST: [&str; 3] = ["最晚的", "最晚那", "latest"];
/// Of two.
const EARLIER: [&str; 6] = ["早一点的", "早点的", "早一点那", "早一点吧", "早点吧", "earlier one"];
const LATER: [&str; 6] = ["晚一点的", "晚点的", "晚一点那", "晚一点吧", "晚点吧", "later one"];

/// The first or last of the options in time, if `text` asks for it; [`None`] if it does not, or if they have no times to
/// compare.
pub(super) fn by_order(text: &str, offered: &[Said]) -> Option<Verdict> {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let first = says(&EARLIEST) || (offered.len() == 2 && says(&EARLIER));
    let last = says(&LATEST) || (offered.len() == 2 && says(&LATER));
    if first == last {
        return None;
    }
    let keys: Vec<Key> = offered.iter().map(key).collect::<Option<_>>()?;
    // January comes after December.
    let turn = keys.iter().any(|k| k.month > 10) && keys.iter().any(|k| (1..3).contains(&k.month));
    let place = |k: &Key| (if turn && k.month < 3 { k.month + 12 } else { k.month }, k.day, k.minute);
    let places: Vec<_> = keys.iter().map(place).collect();
    let wanted = if first { places.iter().min()? } else { places.iter().max()? };
    let mut found = places.iter().enumerate().filter(|(_, place)| *place == wanted).map(|(i, _)| i);
    let dated = keys.iter().filter(|k| k.day > 0).count();
    let timed = keys.iter().filter(|k| k.minute >= 0).count();
    let comparable = (dated == 0 || dated == keys.len()) && (timed == 0 || timed == keys.len());
    comparable.then(|| Verdict::of(found.next().filter(|_| found.next().is_none())))
}

struct Key {
    /// 0 if none is said.
    month: i32,
    day: i32,
    /// Of the day; -1 if none is said.
    minute: i32,
}

fn key(option: &Said) -> Option<Key> {
    let (month, day) = match option.day {
        None => (0, 0),
        Some(Day::Calendar { month: Some(Month::Is(month)), day: Some(day), .. }) => {
            (i32::from(month), i32::from(day))
        }
        Some(Day::Relative(days)) if days >= 0 => (0, days + 1),
        Some(_) => return None,
    };
    let minute = match option.clock {
        None => -1,
        Some((Clock::At(time) | Clock::Between(time, _), _)) => {
            i32::from(time.hour()) * 60 + i32::from(time.minute())
        }
    };
    (day > 0 || minute >= 0).then_some(Key { month, day, minute })
}
