//! The light tier and flows: begins them, goes on with them, and finds back to them.

use serde_json::Map;

use super::{LightMind, Reply, language, only_asks_for_language, reply};
use crate::dialogue::clause::clauses;
use crate::dialogue::flow::{Flow, Learned, Scene, Stand, kept};
use crate::dialogue::intent::{Heard, SmallTalk};
use crate::dialogue::knowledge::Entry;
use crate::dialogue::memory::{Asked, Memory, Progress};
use crate::dialogue::phrases::fill;
use crate::dialogue::text::Lang;
use crate::dialogue::{Act, Ask, Expect, Reason};
use crate::tools::Spec;

/// Replies in a row from which nothing was learned, before a person is fetched.
const MISSES: u8 = 3;
/// Flows that follow on one another within one turn.
const CHAIN: usize = 6;
/// Flows that wait for one another.
const DEPTH: usize = 4;

impl LightMind {
    /// The flow that `entry` begins, if its tools can be had.
    pub(super) fn flow_of(&self, entry: &Entry) -> Option<&Flow> {
        self.flow(entry.flow.as_ref()?)
    }

    /// The flow `id`, if there is one and its tools can be had.
    pub(super) fn flow(&self, id: &str) -> Option<&Flow> {
        self.tenant.flows.find(id).filter(|flow| self.can(flow))
    }

    /// True if the complaint is being taken: its words are told there.
    pub(super) fn is_complaining(&self, ask: &Ask) -> bool {
        let complaint = self.tenant.config.complaint.as_ref().map(|complaint| &complaint.flow);
        ask.memory.flows.last().is_some_and(|under_way| Some(&under_way.flow) == complaint)
    }

    /// Begins a flow that goes before the one under way, which is not gone back to: the caller has another concern now.
    pub(super) fn interrupt(&self, ask: &Ask, flow: &Flow, sure: f32) -> Reply {
        let memory = Memory { flows: Vec::new(), ..ask.memory.clone() };
        self.begin(&Ask { memory, ..ask.clone() }, flow, sure)
    }

    /// True if all tools of `flow` can be had.
    fn can(&self, flow: &Flow) -> bool {
        flow.tools().all(|tool| self.tools.contains(tool))
    }

    /// Ids and titles of the flows that can be begun.
    pub(in crate::dialogue) fn flows(&self, lang: Lang) -> Vec<(&str, &str)> {
        let flows = self.tenant.flows.iter().filter(|flow| self.can(flow));
        flows.map(|flow| (flow.id.as_str(), flow.title(lang))).collect()
    }

    /// The tools that only look up, if they can be had.
    pub(in crate::dialogue) fn lookups(&self) -> impl Iterator<Item = &Spec> {
        self.tenant.tools.iter().filter(|spec| self.tools.contains(&spec.name) && !spec.changes)
    }

    /// Begins the flow `id`, if there is one and its tools can be had.
    pub(in crate::dialogue) fn begin_by_id(&self, ask: &Ask, id: &str) -> Option<Reply> {
        let flow = self.flow(id)?;
        Some(self.begin(ask, flow, 0.5 + 0.5 * ask.transcript.confidence.clamp(0.0, 1.0)))
    }

    /// Begins a flow: what the caller has just said may already hold some of its slots.
    pub(in crate::dialogue) fn begin(&self, ask: &Ask, flow: &Flow, sure: f32) -> Reply {
        let mut memory = ask.memory.clone();
        memory.flows.retain(|under_way| under_way.flow != flow.id);
        while memory.flows.len() >= DEPTH {
            memory.flows.remove(0);
        }
        memory.begun += 1;
        let mut progress = Progress::new(&flow.id, memory.begun, Map::new());
        let scene = self.scene(ask, &memory);
        let known = scene.walk(flow, &mut progress.clone()).known;
        scene.learn_first(flow, &mut progress, &known, &ask.transcript.text);
        if let Some((slot, words)) = flow.takes_first_words(&ask.transcript.text) {
            progress.slots.insert(slot, words);
        }
        self.advance(ask, memory, progress, Vec::new(), sure)
    }

    /// Goes on with the flow that is under way, if one is.
    pub(super) fn guided(&self, ask: &Ask, heard: &Heard, sure: f32) -> Option<Reply> {
        let mut memory = ask.memory.clone();
        let flow = self.tenant.flows.find(&memory.flows.last()?.flow)?;
        let mut progress = memory.flows.pop()?;
        if ask.round > 0 {
            return Some(self.advance(ask, memory, progress, Vec::new(), sure));
        }
        let phrases = self.tenant.phrases(language(ask));
        match heard.small_talk() {
            Some(SmallTalk::Wait) => return Some(self.aside(ask, memory, progress, &phrases.wait, sure)),
            // The rules know these.
            Some(SmallTalk::Repeat | SmallTalk::Goodbye | SmallTalk::Who) => return None,
            Some(SmallTalk::Hello) => {
                let again = self.advance(ask, memory, progress, Vec::new(), sure);
                return Some(again.not_understood());
            }
            Some(SmallTalk::Thanks | SmallTalk::NothingMore) | None => {}
        }
        let scene = self.scene(ask, &memory);
        let known = scene.walk(flow, &mut progress.clone()).known;
        let asked = progress.asked.clone();
        Some(match scene.learn(flow, &mut progress, &known, &ask.transcript.text) {
            Learned::Something => {
                let answered = asked.is_some_and(|asked| flow.is_answered(&asked, &progress));
                let mut reply = self.advance(ask, memory, progress, Vec::new(), sure);
                reply.decision.answered = answered;
                reply
            }
            Learned::Part => self.aside(ask, memory, progress, &phrases.phone_more, sure),
            Learned::No => {
                progress.asked = Some(Asked::Change);
                self.aside(ask, memory, progress, &phrases.what_to_change, sure)
            }
            Learned::GivenUp => {
                let words = scene.text(&flow.given_up, &known).unwrap_or_default();
                self.resume(ask, memory, vec![words], sure)
            }
            // The same question, in the language that was asked for.
            Learned::Nothing if only_asks_for_language(&ask.transcript.text) => {
                self.advance(ask, memory, progress, Vec::new(), sure).not_understood()
            }
            Learned::Nothing => self.astray(ask, memory, progress, sure),
        })
    }

    /// Walks on until something is needed from outside.
    fn advance(
        &self,
        ask: &Ask,
        mut memory: Memory,
        mut progress: Progress,
        mut words: Vec<String>,
        sure: f32,
    ) -> Reply {
        for _ in 0..CHAIN {
            let Some(flow) = self.tenant.flows.find(&progress.flow) else { break };
            let scene = self.scene(ask, &memory);
            let walk = scene.walk(flow, &mut progress);
            words.extend(walk.told);
            memory.facts.extend(kept(flow, &progress.slots, &walk.known));
            let act = match walk.stand {
                Stand::Asks { question } => {
                    words.push(question);
                    memory.flows.push(progress);
                    Act::Answer
                }
                Stand::Uses(what) => {
                    let spec = self.tenant.tools.find(&what.tool);
                    let waiting = spec.and_then(|spec| spec.waiting(language(ask))).map(str::to_owned);
                    memory.flows.push(progress);
                    Act::Use { tools: vec![what], waiting }
                }
                Stand::Starts { flow, slots } => {
                    memory.begun += 1;
                    progress = Progress::new(&flow, memory.begun, slots);
                    continue;
                }
                Stand::HandsOff(reason, say) => {
                    words.push(say);
                    Act::Handoff(reason)
                }
                Stand::Ends(say) => {
                    words.push(say);
                    return self.resume(ask, memory, words, sure).about(flow);
                }
                Stand::Broken(problem) => {
                    tracing::warn!(%problem, "a flow cannot go on; a person is fetched");
                    words.push(self.tenant.phrases(language(ask)).broken.clone());
                    Act::Handoff(Reason::Broken)
                }
            };
            return self.guide(ask, act, memory, &words, sure).about(flow);
        }
        self.guide(ask, Act::Handoff(Reason::Broken), memory, &words, sure)
    }

    /// A flow is over: the one that waited for it goes on.
    fn resume(&self, ask: &Ask, mut memory: Memory, mut words: Vec<String>, sure: f32) -> Reply {
        let phrases = self.tenant.phrases(language(ask));
        let waiting = memory.flows.pop().and_then(|p| Some((self.tenant.flows.find(&p.flow)?, p)));
        let Some((flow, progress)) = waiting else {
            return self.guide(ask, Act::Answer, memory, &words, sure);
        };
        words.push(fill(&phrases.back_to, &[("a", flow.title(language(ask)))]));
        self.advance(ask, memory, progress, words, sure)
    }

    /// Nothing was learned from the reply: another question, which is answered before this one is asked again; or it was not
    /// understood.
    fn astray(&self, ask: &Ask, mut memory: Memory, mut progress: Progress, sure: f32) -> Reply {
        let lang = language(ask);
        let found = self.retrieve(ask);
        let confidence = self.confidence(ask, &found);
        let entry = found.hits.first().map(|hit| &self.tenant.knowledge.entries()[hit.entry]);
        if let Some(entry) = entry {
            let limit = self.limit(entry, ask);
            let other = self.flow_of(entry).filter(|flow| flow.id != progress.flow);
            if confidence >= limit
                && let Some(flow) = other
            {
                memory.flows.push(progress);
                return self.begin(&Ask { memory, ..ask.clone() }, flow, confidence);
            }
            if confidence >= limit && self.flow_of(entry).is_none() {
                let mut answer = self.told(entry, ask, confidence);
                if answer.decision.act != Act::Answer {
                    memory.flows.push(progress);
                    answer.decision.memory = Some(Box::new(memory));
                    return answer;
                }
                let again = self.advance(ask, memory, progress, Vec::new(), confidence);
                answer.clauses.extend(again.clauses);
                let decision = &mut answer.decision;
                (decision.act, decision.memory, decision.expect) =
                    (again.decision.act, again.decision.memory, again.decision.expect);
                return answer;
            }
        }
        progress.misses += 1;
        progress.pieces.clear();
        if let Some(Asked::Slot(slot)) = progress.asked.clone() {
            progress.fail(&slot);
        }
        let phrases = self.tenant.phrases(lang);
        if progress.misses >= MISSES {
            let words = [phrases.low_confidence.clone()];
            return self.guide(ask, Act::Handoff(Reason::LowConfidence), memory, &words, 0.3 * sure);
        }
        self.advance(ask, memory, progress, Vec::new(), 0.5 * sure).not_understood()
    }

    /// Says something beside the flow, which goes on waiting for what it has asked.
    fn aside(&self, ask: &Ask, mut memory: Memory, progress: Progress, words: &str, sure: f32) -> Reply {
        memory.flows.push(progress);
        self.guide(ask, Act::Answer, memory, &[words.to_owned()], sure)
    }

    fn guide(&self, ask: &Ask, act: Act, memory: Memory, words: &[String], sure: f32) -> Reply {
        let mut guided = reply(act, sure, "flow", "");
        let (withheld, allowed): (Vec<String>, Vec<String>) =
            words.iter().flat_map(|text| clauses(text)).partition(|clause| self.tenant.forbids(clause));
        guided.clauses = allowed;
        guided.decision.withheld = withheld;
        if !matches!(guided.decision.act, Act::Handoff(_)) {
            guided.decision.expect = self.expected(&memory);
        }
        guided.decision.sources =
            ask.used.iter().map(|used| format!("tool:{}", used.what.tool)).rev().take(3).collect();
        guided.decision.memory = Some(Box::new(memory));
        guided
    }

    /// What the flow under way waits for.
    pub(super) fn expected(&self, memory: &Memory) -> Expect {
        let Some(progress) = memory.flows.last() else { return Expect::Open };
        match &progress.asked {
            Some(Asked::Yes(_)) => Expect::YesNo,
            Some(Asked::Slot(slot)) => {
                let flow = self.tenant.flows.find(&progress.flow);
                flow.and_then(|flow| flow.slots.get(slot)).map_or(Expect::Open, |slot| slot.kind.expect())
            }
            Some(Asked::Change) | None => Expect::Open,
        }
    }

    fn scene<'a>(&'a self, ask: &'a Ask, memory: &'a Memory) -> Scene<'a> {
        Scene {
            flows: &self.tenant.flows,
            facts: &memory.facts,
            used: &ask.used,
            caller: ask.caller.as_deref(),
            now: (self.now)(),
            lang: language(ask),
        }
    }
}

impl Reply {
    /// The question that is asked again, and not an answer.
    fn not_understood(mut self) -> Self {
        if self.decision.act == Act::Answer {
            self.decision.act = Act::Clarify;
        }
        self
    }

    /// Names the flow that it belongs to.
    fn about(mut self, flow: &Flow) -> Self {
        if self.decision.topic == "flow" {
            self.decision.topic.clone_from(&flow.topic);
        }
        self.decision.sources.insert(0, format!("flow:{}", flow.id));
        self
    }
}
