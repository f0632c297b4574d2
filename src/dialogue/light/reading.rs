//! What can be read off a turn before anything is searched: its language, its impatience, and how far it can be trusted.

use std::collections::BTreeSet;

use crate::dialogue::confidence::Signs;
use crate::dialogue::intent::Heard;
use crate::dialogue::knowledge::Entry;
use crate::dialogue::retrieval::Ranking;
use crate::dialogue::slots;
use crate::dialogue::sound::syllables;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::dialogue::{Ask, Who};

/// True if the caller says again what was answered before: the answer did not help. Who says again what was only asked back about
/// does as he was asked.
pub(in crate::dialogue) fn repeated(ask: &Ask) -> bool {
    let now = syllables(&ask.transcript.text);
    let mut history = ask.history.as_slice();
    if ask.clarified {
        // The question back, and what it asked about.
        for who in [Who::Caller, Who::Bot, Who::Caller] {
            history = &history[..history.iter().rposition(|s| s.who != who).map_or(0, |last| last + 1)];
        }
    }
    let answered = history.iter().rev().skip_while(|s| s.who == Who::Caller || s.interrupted);
    now.len() >= 4
        && answered.filter(|s| s.who == Who::Caller).take(2).any(|s| {
            let then = syllables(&s.text);
            let shared = now.iter().filter(|n| then.contains(n)).count();
            shared * 100 >= 85 * now.len().max(then.len())
        })
}

/// What can be told of how sure the first hit is.
pub(in crate::dialogue) fn signs(tenant: &Tenant, ask: &Ask, found: &Ranking) -> Signs {
    let text = &ask.transcript.text;
    Signs {
        heard: ask.transcript.confidence.clamp(0.0, 1.0),
        lead: found.lead,
        characters: text.chars().filter(|c| c.is_alphanumeric()).count(),
        repeated: repeated(ask),
        clarified: ask.clarified,
        offered: offered(tenant, ask, found),
        upset: upset(tenant, text),
        written: None,
        tools: Signs::worst(&ask.used[ask.used.len().saturating_sub(used_now(ask))..]),
    }
}

/// Of how many topics the caller was just asked which is meant, if the first hit is among them: what the caller says to that leads
/// there again, and is no "no".
fn offered(tenant: &Tenant, ask: &Ask, found: &Ranking) -> usize {
    let asked = ask.history.iter().rev().find(|s| s.who == Who::Bot).filter(|_| ask.clarified);
    let (Some(asked), Some(first)) = (asked, found.hits.first()) else { return 0 };
    let entries = tenant.knowledge.entries();
    let names = |entry: &Entry| {
        let titles = [Lang::Zh, Lang::En].map(|lang| entry.title(lang));
        let mut titles = titles.into_iter().filter(|title| !title.is_empty());
        titles.find_map(|title| Some((asked.text.find(title)?, title.len())))
    };
    if names(&entries[first.entry]).is_none() || slots::yes_no(&ask.transcript.text) == Some(false) {
        return 0;
    }
    // 预约 within 取消预约 is not offered.
    let all: Vec<(usize, usize)> = entries.iter().filter_map(names).collect();
    let within = |(at, length): &(usize, usize)| {
        all.iter().any(|(from, long)| long > length && from <= at && at + length <= from + long)
    };
    all.iter().filter(|place| !within(place)).collect::<BTreeSet<_>>().len()
}

/// How many of the uses of tools belong to this turn.
fn used_now(ask: &Ask) -> usize {
    if ask.round > 0 { ask.memory.asked.len() } else { 0 }
}

/// Words of a caller who is angry, complains, or is about to.
fn upset(tenant: &Tenant, text: &str) -> bool {
    let heard = Heard::new(text);
    heard.upset(tenant).is_some() || heard.complains(tenant).is_some() || impatient(text)
}

/// Words of a caller whose patience ends.
pub(in crate::dialogue) fn impatient(text: &str) -> bool {
    ["到底", "怎么又", "又不", "急死", "快点", "听懂没", "都说了", "还没好", "烦"]
        .iter()
        .any(|w| text.contains(w))
}

/// The language to answer in: the one that is asked for, else that of the words, else of the caller's last words.
pub(in crate::dialogue) fn language(ask: &Ask) -> Lang {
    let of = |text: &str| Lang::asked_for(text).or_else(|| Lang::of(text));
    of(&ask.transcript.text)
        .or_else(|| ask.history.iter().rev().filter(|s| s.who == Who::Caller).find_map(|s| of(&s.text)))
        .unwrap_or_default()
}

/// True if the whole turn is the wish to go on in another language.
pub(super) fn only_asks_for_language(text: &str) -> bool {
    /// Characters, or letters of an English sentence.
    const WISH: [usize; 2] = [14, 40];
    let longest = if Lang::of(text) == Some(Lang::En) { WISH[1] } else { WISH[0] };
    Lang::asked_for(text).is_some() && text.chars().filter(|c| c.is_alphanumeric()).count() <= longest
}
