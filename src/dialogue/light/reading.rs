//! What can be read off a turn before anything is searched: its language, its impatience, and how far it can be trusted.

use crate::dialogue::confidence::Signs;
use crate::dialogue::intent::Heard;
use crate::dialogue::retrieval::Ranking;
use crate::dialogue::sound::syllables;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::dialogue::{Ask, Who};

/// True if the caller says again what was answered before: the answer did not help.
pub(in crate::dialogue) fn repeated(ask: &Ask) -> bool {
    let now = syllables(&ask.transcript.text);
    let answered = ask.history.iter().rev().skip_while(|s| s.who == Who::Caller || s.interrupted);
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
        upset: upset(tenant, text),
        written: None,
        tools: Signs::worst(&ask.used[ask.used.len().saturating_sub(used_now(ask))..]),
    }
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
