//! The light tier: rules first, then retrieval. No network, no waiting; a turn takes well under a millisecond.

mod guided;
mod manner;
mod profile;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(in crate::dialogue) use manner::is_sorry;
pub(in crate::dialogue) use profile::is_expert;
use reading::only_asks_for_language;
pub(in crate::dialogue) use reading::{impatient, language, repeated, signs};

use super::clause::clauses;
use super::confidence::{Model, Signs, recorded};
use super::intent::{Heard, SmallTalk};
use super::knowledge::{Entry, Sensitivity};
use super::mood::Mood;
use super::phrases::fill;
use super::retrieval::{Index, Ranking};
use super::slots::{self, Number};
use super::sound::syllables;
use super::tenant::Tenant;
use super::text::Lang;
use super::vehicle::Vehicle;
use super::wrap_up::{Past, WrapUp};
use super::{Act, Ask, Brief, Decision, Expect, Facts, Mind, Reason, Said, Thought, Who};
use crate::tools::Use;

/// Answers turns from rules and approved entries.
///
/// Clauses that come with [`Act::Handoff`] are only what belongs to the reason (advice, apology); "I connect you" is the
/// core's to say. [`Act::PhonePart`] and [`Act::Phone`] carry all digits so far, put together from the history.
pub struct LightMind {
    tenant: Arc<Tenant>,
    index: Index,
    /// Names of the tenant's tools that can be had.
    tools: BTreeSet<String>,
    now: Now,
}

/// What a mind needs in order to act.
pub struct Acting {
    /// Names of the tools that can be had. A flow that needs another is not begun.
    pub tools: BTreeSet<String>,
    /// Tells the tenant's local time.
    pub now: Now,
}

impl Acting {
    /// With all tools of `tenant`.
    pub fn fully(tenant: &Tenant, now: Now) -> Self {
        Self { tools: tenant.tools.iter().map(|spec| spec.name.clone()).collect(), now }
    }
}

/// Tells the tenant's local time.
pub type Now = Arc<dyn Fn() -> jiff::civil::DateTime + Send + Sync>;

/// The tenant's local time by the machine's clock: China has one zone.
pub fn local_now() -> Now {
    Arc::new(|| {
        let now = jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        now.to_zoned(crate::clock::zone()).datetime()
    })
}

/// What had to be mended was heard no better than this, whatever the recogniser says.
const WELL_HEARD: f32 = 0.75;
/// What a sentence loses of the recogniser's confidence if all of it had to be written anew.
const MENDED: f32 = 0.2;

/// The rest of an answer is asked for within so many turns: the cut answer, 等一下, 您说, and 继续.
const CUT_LATELY: usize = 5;

/// What a turn shows before it is answered.
pub(crate) struct Watched {
    /// Its signs.
    pub(crate) signs: Signs,
    /// The entry that would be answered.
    pub(crate) entry: Option<usize>,
    /// Retrieval's own confidence.
    pub(crate) typed: f32,
}

/// A complete turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    /// What to say.
    pub clauses: Vec<String>,
    /// What it comes to.
    pub decision: Decision,
}

/// 你接着说: the bot was cut short and shall say the rest.
fn go_on(ask: &Ask) -> Option<Reply> {
    let cut = ask.history.iter().rev().take(CUT_LATELY).any(|s| s.who == Who::Bot && s.interrupted);
    let wanted = cut && Heard::new(&ask.transcript.text).says_go_on();
    wanted
        .then(|| reply(Act::Continue, 0.5 + 0.5 * ask.transcript.confidence.clamp(0.0, 1.0), "continue", ""))
}

impl LightMind {
    /// Indexes the tenant's knowledge and loads the dictionary. Tools cannot be had: flows that need one are not begun.
    pub fn new(tenant: Arc<Tenant>) -> Self {
        let index = Index::new(&tenant.knowledge);
        Self { tenant, index, tools: BTreeSet::new(), now: local_now() }
    }

    /// With tools of the tenant, by name, and a clock that tells its local time.
    #[must_use]
    pub fn acting(self, acting: Acting) -> Self {
        Self { tools: acting.tools, now: acting.now, ..self }
    }

    /// The tenant.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// The turn with the caller's words written as the house writes them. What had to be mended was not heard well: its share
    /// takes the recogniser's confidence below [`WELL_HEARD`], and with it everything that rests on it.
    pub(super) fn spelt(&self, ask: &Ask) -> Ask {
        let mut ask = ask.clone();
        let spelt = self.tenant.spelling.spell(&ask.transcript.text);
        ask.transcript.text = spelt.text;
        if spelt.changed > 0.0 {
            let heard = ask.transcript.confidence.min(WELL_HEARD);
            ask.transcript.confidence = heard * (1.0 - MENDED * spelt.changed);
        }
        for said in ask.history.iter_mut().filter(|s| s.who == Who::Caller) {
            said.text = self.tenant.spelling.spell(&said.text).text;
        }
        self.recognise(&mut ask);
        ask
    }

    /// The whole answer to a turn that is [`spelt`](Self::spelt).
    pub(super) fn reply(&self, ask: &Ask) -> Reply {
        let reply = self.rules(ask).or_else(|| go_on(ask)).unwrap_or_else(|| self.answer(ask));
        let mut reply = self.meet(ask, reply);
        // What a flow has asked is still open after a word beside it.
        if reply.decision.memory.is_none() && !ask.core_asks {
            reply.decision.expect = self.expected(&ask.memory);
        }
        reply
    }

    /// What needs no large model: what the rules decide, a flow that the caller surely asks for, and whose number it is.
    pub(super) fn decided(&self, ask: &Ask) -> Option<Reply> {
        if ask.round > 0 {
            return self.rules(ask);
        }
        self.rules(ask).or_else(|| {
            let found = self.retrieve(ask);
            let confidence = self.confidence(ask, &found);
            let first = found.hits.first()?.entry;
            if confidence >= self.tenant.config.thresholds.answer * found.holds
                && let Some(look_up) = self.look_up_caller(ask, first, confidence)
            {
                return Some(look_up);
            }
            let entry = &self.tenant.knowledge.entries()[first];
            let flow = self.flow_of(entry).filter(|_| confidence >= self.limit(entry, ask))?;
            let mut reply = self.begin(ask, flow, confidence);
            reply.decision.why.logits = self.explained(ask, &found);
            Some(reply)
        })
    }

    /// What the rules decide, if they do: danger, a person, anger, expected slots, small talk, backchannels.
    pub(super) fn rules(&self, ask: &Ask) -> Option<Reply> {
        let heard = Heard::new(&ask.transcript.text);
        let lang = language(ask);
        let phrases = self.tenant.phrases(lang);
        let sure = 0.5 + 0.5 * ask.transcript.confidence.clamp(0.0, 1.0);
        let act = |act, topic: &str, words: &str| Some(reply(act, sure, topic, words));
        if ask.round > 0 {
            // The words were judged when tools were asked for; who asked for them goes on.
            return self.guided(ask, &heard, sure);
        }
        if heard.text().is_empty() {
            return act(Act::Ignore, "silence", "");
        }
        // What is heard by its sound alone is less sure than the word itself.
        let hand = |reason, weight: f32, words: &str| {
            Some(reply(Act::Handoff(reason), sure * weight, "handoff", words))
        };
        if let Some((zh, en, weight)) = heard.danger(&self.tenant) {
            return hand(Reason::Safety, weight, if lang == Lang::Zh { zh } else { en });
        }
        // A message for somebody else is not ours to answer, whatever it says.
        if ask.core_asks && ask.expect == Expect::Message {
            return self.slot(ask, &heard, sure);
        }
        if ask.waiting
            && let Some((act, weight)) = heard.waits(&self.tenant)
        {
            return Some(reply(act, sure * weight, "waiting", ""));
        }
        let small_talk = heard.small_talk();
        if small_talk == Some(SmallTalk::Who) {
            return act(Act::Answer, "smalltalk", &phrases.who);
        }
        if let Some(weight) = heard.wants_person(&self.tenant) {
            return hand(Reason::Requested, weight, "");
        }
        if let Some(weight) = heard.upset(&self.tenant) {
            return hand(Reason::Upset, weight, &phrases.apology);
        }
        if Mood::of(&self.tenant, ask).is_upset(&self.tenant) {
            return hand(Reason::Upset, 1.0, &phrases.apology);
        }
        if let Some(weight) = heard.complains(&self.tenant).filter(|_| !self.is_complaining(ask)) {
            // Who can be listened to is: a person is offered on the way.
            let flow = self.tenant.config.complaint.as_ref().map(|complaint| complaint.flow.as_str());
            return match flow.and_then(|id| self.flow(id)) {
                Some(flow) => Some(self.interrupt(ask, flow, sure * weight)),
                None => hand(Reason::Upset, weight, &phrases.apology),
            };
        }
        let asked = if ask.core_asks { self.slot(ask, &heard, sure) } else { self.guided(ask, &heard, sure) };
        if asked.is_some() {
            return asked;
        }
        if only_asks_for_language(&ask.transcript.text) {
            return act(Act::Answer, "smalltalk", &phrases.hello);
        }
        let last_bot = last(&ask.history, Who::Bot);
        let asked_more = last_bot.is_some_and(|t| t.contains("其他问题") || t.contains("anything else"));
        match small_talk {
            Some(SmallTalk::Goodbye) => return act(Act::Goodbye, "smalltalk", ""),
            Some(SmallTalk::NothingMore) if asked_more => return act(Act::Goodbye, "smalltalk", ""),
            Some(SmallTalk::Thanks) => return act(Act::Answer, "smalltalk", &phrases.thanks),
            Some(SmallTalk::Hello) => return act(Act::Answer, "smalltalk", &phrases.hello),
            Some(SmallTalk::Wait) => return act(Act::Answer, "smalltalk", &phrases.wait),
            Some(SmallTalk::Repeat) => {
                let words = last_bot.filter(|t| !t.is_empty()).unwrap_or(&phrases.nothing_to_repeat);
                return act(Act::Answer, "repeat", words);
            }
            _ => {}
        }
        let asked = last_bot.is_some_and(|t| t.ends_with(['？', '?', '吗']));
        if self.tenant.lexicon.is_backchannel(heard.text()) && !(asked && ask.clarified) {
            return act(Act::Ignore, "backchannel", "");
        }
        None
    }

    /// The expected answer to the last question.
    fn slot(&self, ask: &Ask, heard: &Heard, sure: f32) -> Option<Reply> {
        let phrases = self.tenant.phrases(language(ask));
        let text = &ask.transcript.text;
        match ask.expect {
            Expect::Open | Expect::Plate | Expect::Number => None,
            Expect::YesNo => {
                let act = if slots::yes_no(text)? { Act::Yes } else { Act::No };
                Some(reply(act, sure, "slot", ""))
            }
            Expect::Phone => {
                if let Some(number) = ask.caller.as_deref().filter(|_| heard.says_this_number())
                    && let Number::Complete(number) = slots::phone(&[number])
                {
                    return Some(reply(Act::Phone(number), sure, "slot", ""));
                }
                let mut pieces = self.number_so_far(&ask.history);
                if slots::phone(&[text]) == Number::None {
                    return match slots::yes_no(text) {
                        Some(false) => Some(reply(Act::No, sure, "slot", "")),
                        _ => None,
                    };
                }
                pieces.push(text);
                Some(match slots::phone(&pieces) {
                    Number::Complete(digits) => reply(Act::Phone(digits), sure, "slot", ""),
                    Number::Part(digits) => reply(Act::PhonePart(digits), sure, "slot", ""),
                    Number::TooLong | Number::None => reply(Act::Clarify, 0.3, "slot", &phrases.phone_again),
                })
            }
            Expect::Time => match slots::time(text) {
                Some(when) => Some(reply(Act::When(when), sure, "slot", "")),
                None if slots::yes_no(text) == Some(false) => Some(reply(Act::No, sure, "slot", "")),
                None => None,
            },
            Expect::Rating => match slots::rating(text) {
                Some(grade) => Some(reply(Act::Rated(grade), sure, "slot", "")),
                None if slots::yes_no(text) == Some(false) => Some(reply(Act::No, sure, "slot", "")),
                None => None,
            },
            Expect::Message if heard.says_that_is_all() => Some(reply(Act::No, sure, "slot", "")),
            Expect::Message => Some(reply(Act::Message(text.clone()), sure, "slot", "")),
        }
    }

    /// What the caller has said since the bot asked for the number; "go on" does not end it.
    fn number_so_far<'a>(&self, history: &'a [Said]) -> Vec<&'a str> {
        let goes_on = |text: &str| {
            [Lang::Zh, Lang::En].iter().any(|l| {
                let more = &self.tenant.phrases(*l).phone_more;
                !text.is_empty() && more.starts_with(text)
            })
        };
        let mut pieces: Vec<&str> = history
            .iter()
            .rev()
            .take_while(|s| s.who == Who::Caller || goes_on(&s.text))
            .filter(|s| s.who == Who::Caller)
            .map(|s| s.text.as_str())
            .collect();
        pieces.reverse();
        pieces
    }

    /// The answer from the knowledge: an answer, a question back, or a handoff.
    pub(super) fn answer(&self, ask: &Ask) -> Reply {
        if ask.clarified
            && let Some(reply) = self.pick(ask, language(ask))
        {
            return reply;
        }
        let found = self.retrieve(ask);
        let mut reply = self.told_from(ask, &found);
        reply.decision.why.logits = self.explained(ask, &found);
        reply
    }

    /// What retrieval has found, told if it is sure enough.
    fn told_from(&self, ask: &Ask, found: &Ranking) -> Reply {
        let lang = language(ask);
        let phrases = self.tenant.phrases(lang);
        let limits = self.tenant.config.thresholds;
        let confidence = self.confidence(ask, found);
        if let Some(hit) = found.hits.first() {
            let entry = &self.tenant.knowledge.entries()[hit.entry];
            let limit = self.limit(entry, ask);
            if confidence >= limits.answer * found.holds
                && let Some(look_up) = self.look_up_caller(ask, hit.entry, confidence)
            {
                return look_up;
            }
            if confidence >= limit {
                return match self.flow_of(entry) {
                    Some(flow) => self.begin(ask, flow, confidence),
                    None => self.told(entry, ask, confidence),
                };
            }
        }
        if ask.clarified {
            return reply(
                Act::Handoff(Reason::LowConfidence),
                confidence,
                "handoff",
                &phrases.low_confidence,
            );
        }
        let entries = self.tenant.knowledge.entries();
        let speaks = |entry: &Entry| lang == Lang::Zh || entry.answer_en.is_some();
        let near = found.hits.iter().map(|h| (h.score, &entries[h.entry])).filter(|(_, e)| speaks(e));
        let mut near = near.map(|(score, entry)| (score, entry.title(lang)));
        let words = match (near.next(), near.next()) {
            (Some(_), _) if found.confidence < limits.near => phrases.clarify.clone(),
            (Some((first, a)), Some((second, b))) if second > 0.5 * first => {
                fill(&phrases.clarify_two, &[("a", a), ("b", b)])
            }
            (Some((_, a)), _) => fill(&phrases.clarify_one, &[("a", a)]),
            _ => phrases.clarify.clone(),
        };
        reply(Act::Clarify, confidence, "clarify", &words)
    }

    /// What each sign adds to the confidence of the first hit, for the record.
    fn explained(&self, ask: &Ask, found: &Ranking) -> BTreeMap<String, f32> {
        if found.hits.is_empty() {
            return BTreeMap::new();
        }
        let model = Model::embedded();
        let signs = signs(&self.tenant, ask, found);
        let mut all = model.explain(&signs);
        let (whole, held) = (model.judge(&signs), found.holds * model.judge(&signs));
        let odds = |p: f32| (p / (1.0 - p)).ln();
        if found.holds < 1.0 && held > 0.0 {
            all.push(("vehicle unknown", odds(held) - odds(whole)));
        }
        recorded(model, &all)
    }

    /// The answer that an entry gives. Entries about danger also give the call to a person.
    fn told(&self, entry: &Entry, ask: &Ask, confidence: f32) -> Reply {
        let act = match entry.sensitivity {
            Sensitivity::Safety => Act::Handoff(Reason::Safety),
            Sensitivity::Normal | Sensitivity::Dispute => Act::Answer,
        };
        let words = entry.answer_for(language(ask), profile::is_expert(&self.tenant, ask));
        let mut reply = reply(act, confidence, &entry.category, words);
        reply.decision.sources = vec![entry.id.clone()];
        reply
    }

    /// What a turn shows that the rules do not decide; [`None`] if they do. For measuring and fitting the confidence.
    pub(crate) fn watch(&self, ask: &Ask) -> Option<Watched> {
        let ask = self.spelt(ask);
        if self.rules(&ask).is_some() {
            return None;
        }
        let found = self.retrieve(&ask);
        let signs = signs(&self.tenant, &ask, &found);
        Some(Watched { signs, entry: found.hits.first().map(|hit| hit.entry), typed: found.confidence })
    }

    /// The entry that answers the turn, if that is sure enough.
    pub(super) fn sure_entry(&self, ask: &Ask) -> Option<&Entry> {
        let found = self.retrieve(ask);
        let entry = &self.tenant.knowledge.entries()[found.hits.first()?.entry];
        (self.confidence(ask, &found) >= self.limit(entry, ask)).then_some(entry)
    }

    /// Entries by words alone, whoever said them.
    pub(super) fn search(&self, text: &str) -> Ranking {
        self.index.search(text)
    }

    /// True if the tool can be had.
    pub(super) fn can_use(&self, tool: &str) -> bool {
        self.tools.contains(tool)
    }

    /// Today in the hotline's zone.
    pub(super) fn today(&self) -> jiff::civil::Date {
        (self.now)().date()
    }

    /// How sure it is that the first hit is what the caller asks for, in 0..=1.
    fn confidence(&self, ask: &Ask, found: &Ranking) -> f32 {
        if found.hits.is_empty() {
            return 0.0;
        }
        found.holds * Model::embedded().judge(&signs(&self.tenant, ask, found))
    }

    /// Ranks entries for the turn and the caller's vehicle; a turn that leans on the one before is searched together with it.
    pub(super) fn retrieve(&self, ask: &Ask) -> Ranking {
        let text = &ask.transcript.text;
        let vehicle = ask.memory.facts.get("vehicle").and_then(Vehicle::of_fact);
        let search = |text: &str| self.index.search_for(text, vehicle.as_ref());
        let alone = search(text);
        let heard = Heard::new(text);
        let before = ask
            .history
            .iter()
            .rev()
            .filter(|s| s.who == Who::Caller && !Heard::new(&s.text).leans())
            .find(|s| s.text.chars().count() >= 4);
        let Some(before) = before.filter(|_| ask.clarified || heard.leans()) else {
            return alone;
        };
        let mut joined = search(&format!("{} {text}", before.text));
        joined.confidence *= 0.95;
        joined.lead.leans = true;
        if joined.confidence > alone.confidence { joined } else { alone }
    }

    /// After "do you mean A or B": which of them it is; [`None`] if the caller said something else.
    fn pick(&self, ask: &Ask, lang: Lang) -> Option<Reply> {
        let asked = last(&ask.history, Who::Bot)?;
        let mut offered: Vec<(usize, &Entry)> = self
            .tenant
            .knowledge
            .entries()
            .iter()
            .filter_map(|e| asked.find(e.title(lang)).map(|at| (at, e)))
            .collect();
        offered.sort_by_key(|(at, e)| (*at, std::cmp::Reverse(e.title(lang).len())));
        offered.dedup_by_key(|(at, _)| *at);
        let text = Heard::new(&ask.transcript.text);
        let says = |words: &[&str]| words.iter().any(|w| text.text().contains(w));
        let chosen = if says(&["都不是", "两个都不", "neither"]) {
            None
        } else if says(&["第一", "前面", "前一个", "前者", "first"]) {
            offered.first()
        } else if says(&["第二", "后面", "后一个", "后者", "second"]) {
            offered.get(1)
        } else {
            let named =
                offered.iter().find(|(_, e)| text.sounds().find(&syllables(&e.title), 0.85).is_some());
            match (named, slots::yes_no(text.text())) {
                (Some(named), _) => Some(named),
                (None, Some(true)) if text.text().chars().count() <= 6 => offered.first(),
                (None, Some(false)) if text.text().chars().count() <= 6 => None,
                _ => return None,
            }
        };
        let phrases = self.tenant.phrases(lang);
        Some(match chosen {
            Some((_, entry)) => match self.flow_of(entry) {
                Some(flow) => self.begin(ask, flow, 0.9),
                None => self.told(entry, ask, 0.9),
            },
            None => reply(Act::Handoff(Reason::LowConfidence), 0.2, "handoff", &phrases.low_confidence),
        })
    }
}

impl Mind for LightMind {
    fn think(&self, ask: Ask, sink: Box<dyn FnMut(Thought) + Send>) {
        let ask = self.spelt(&ask);
        let mut sink = Mood::of(&self.tenant, &ask).noting(ask.clone(), sink);
        give(self.reply(&ask), &ask, &mut *sink);
    }

    fn brief(&self, facts: &Facts<'_>, words: &str) -> Brief {
        self.briefed(facts, words)
    }

    fn look_up(&self, facts: &Facts<'_>) -> Option<Use> {
        self.unknown_caller(facts)
    }

    fn worth(&self, facts: &Facts<'_>) -> u8 {
        self.worth_of(facts)
    }

    fn wrap_up(&self, past: &Past<'_>) -> Option<WrapUp> {
        Some(self.wrapped_up(past))
    }

    fn summarize(&self, facts: &Facts<'_>) -> String {
        super::summary::summarize(&self.tenant, facts, self.today())
    }
}

/// Streams a reply; a cancelled asker gets only the decision.
pub(super) fn give(reply: Reply, ask: &Ask, sink: &mut dyn FnMut(Thought)) {
    for clause in reply.clauses {
        if ask.cancelled.load(Ordering::Relaxed) {
            break;
        }
        sink(Thought::Clause(clause));
    }
    sink(Thought::Decided(reply.decision));
}

fn reply(act: Act, confidence: f32, topic: &str, words: &str) -> Reply {
    Reply { clauses: clauses(words), decision: Decision::new(act, confidence, topic) }
}

fn last(history: &[Said], who: Who) -> Option<&str> {
    history.iter().rev().find(|s| s.who == who).map(|s| s.text.as_str())
}

#[cfg(test)]
#[path = "light_tests.rs"]
mod tests;
