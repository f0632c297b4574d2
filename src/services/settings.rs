//! What a tenant chose, as the core of a call wants it.

use std::sync::Arc;
use std::time::Duration;

use crate::call::endpointing::Endpointing;
use crate::call::listening::Hearing;
use crate::call::settings::BargeIn;
use crate::call::{Lexicon, Phrases, Settings};
use crate::config::{Config, Join};
use crate::dialogue::sound;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::tts::clause::Clauses;

pub(super) fn settings(
    config: &Config,
    tenant: &Arc<Tenant>,
    mind: Arc<dyn crate::dialogue::Mind>,
    comfort: Arc<[i16]>,
) -> Settings {
    let turns = &config.turns;
    Settings {
        hearing: Hearing { partial_interval: config.asr.partial_interval, ..Hearing::default() },
        endpointing: Endpointing::new(turns.min_silence, turns.max_silence),
        greeting_expects: crate::dialogue::Expect::Open,
        barge_in: BargeIn {
            enabled: turns.barge_in,
            verdict: turns.barge_in_verdict,
            length: turns.barge_in_length,
            ..BargeIn::default()
        },
        no_input: turns.no_input,
        in_flight: Duration::from_millis(80),
        skills: Arc::new(tenant.config.skills.clone()),
        join_directly: config.seats.join == Join::Refer,
        seat_ring: config.seats.ring_timeout,
        seat_accept: Duration::from_secs(45),
        thinking: Duration::from_secs(6),
        vad: super::voice_activity,
        notes: tenant.config.notes,
        rating_after: tenant.config.rating.as_ref().map(|rating| rating.after_answers),
        phrases: Arc::default(),
        lexicon: Arc::new(TenantLexicon(tenant.clone())),
        mind,
        comfort,
    }
}

/// The tenant's sentences, cut into clauses so that the first is spoken early.
pub(super) fn phrases(tenant: &Tenant, lang: Lang) -> Phrases {
    let p = tenant.phrases(lang);
    Phrases {
        notice: clauses(&p.notice),
        greeting: clauses(&p.greeting),
        no_input: p.no_input.clone(),
        offer_person: clauses(&p.offer_person),
        thinking: p.thinking.clone(),
        handing_over: clauses(&p.handing_over),
        queue_next: clauses(&p.queue_next),
        queue_ahead: clauses(&p.queue_ahead),
        queue_wait: clauses(&p.queue_wait),
        queue_choice: clauses(&p.queue_choice),
        seat_rings: clauses(&p.seat_rings),
        out_of_hours: clauses(&p.out_of_hours),
        callback_offer: clauses(&p.seat_busy_offer),
        callback_same_number: clauses(&p.callback_same_number),
        ask_phone: clauses(&p.ask_phone),
        ask_phone_rest: clauses(&p.phone_more),
        ask_keys_rest: clauses(&p.keys_more),
        ask_time: clauses(&p.ask_time),
        callback_booked: clauses(&p.callback_confirm),
        callback_failed: clauses(&p.callback_failed),
        callback_declined: clauses(&p.callback_declined),
        message_offer: clauses(&p.message_offer),
        message_begin: clauses(&p.message_begin),
        message_kept: clauses(&p.message_kept),
        rating_ask: clauses(&p.rating_ask),
        rating_thanks: clauses(&p.rating_thanks),
        seat_left: clauses(&p.seat_left),
        goodbye: clauses(&p.goodbye),
        apology: clauses(&p.broken),
        seat_keys: clauses(&p.seat_keys),
    }
}

/// `text` as it is spoken, clause by clause.
pub(crate) fn clauses(text: &str) -> Vec<String> {
    let mut cutter = Clauses::new();
    let mut out = cutter.push(text);
    out.extend(cutter.finish());
    out
}

struct TenantLexicon(Arc<Tenant>);

impl Lexicon for TenantLexicon {
    fn is_backchannel(&self, words: &str) -> bool {
        self.0.lexicon.is_backchannel(words)
    }
    fn is_interrupt(&self, words: &str) -> bool {
        self.0.lexicon.is_interrupt(words)
    }
    fn likeness(&self, heard: &str, said: &str) -> f32 {
        /// Fewer syllables are alike by chance.
        const SHORTEST: usize = 3;
        /// Of so many syllables, so many may be strangers at the ends.
        const LONG: usize = 6;
        const SPARE: usize = 2;
        let heard = sound::syllables(heard);
        if heard.len() < SHORTEST {
            return 0.0;
        }
        let said = sound::Sounds::of(said);
        let part = |part: &[sound::Syllable]| {
            let share = part.len() as f32 / heard.len() as f32;
            said.find(part, 0.0).map_or(0.0, |found| found.similarity * share)
        };
        // An echo that begins or ends in what nobody said is one all the same.
        let most = if heard.len() >= LONG { SPARE } else { 0 };
        let ends = (0..=most).flat_map(|from| (0..=most - from).map(move |to| (from, to)));
        ends.map(|(from, to)| part(&heard[from..heard.len() - to])).fold(0.0, f32::max)
    }
}
