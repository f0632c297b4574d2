//! What callers asked and the machine could not answer: drafts of new questions, for the entry that is nearest or for a new one.

use std::path::Path;

use super::ingest::{Options, Report, item};
use super::read;
use super::shelf::{self, Shelf};
use crate::dialogue::intent::Heard;
use crate::dialogue::knowledge::{Entry, Origin, Sensitivity, Status};
use crate::dialogue::retrieval::Index;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::{is_filler, is_han, normalize, strip_fillers};
use crate::dialogue::{Act, Reason, Who};
use crate::digest::sha256;
use crate::record::CallRecord;

/// A question that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The caller's words.
    pub text: String,
    /// Id of the call.
    pub call: String,
    /// SHA-256 of its record.
    pub sha256: String,
}

/// The document that entries from calls name.
const CALLS: &str = "calls";
/// Group of topics of a new one.
const CATEGORY: &str = "asked";
/// Questions that share this much of their pairs of characters (Dice's coefficient) are one.
const ALIKE: f32 = 0.5;
/// Longer than this, in characters, a turn tells a story.
const LONGEST: usize = 40;
/// From so many digits on it may be a number that belongs to somebody.
const DIGITS: usize = 5;

/// The questions of a call that ended in a question back, in a handoff for want of confidence, or with a seat.
pub fn asked(path: &Path, bytes: &[u8]) -> Result<Vec<Asked>, read::Error> {
    let record: CallRecord = serde_json::from_slice(bytes).map_err(|error| read::Error::Broken {
        path: path.to_owned(),
        kind: "call record",
        problem: error.to_string(),
    })?;
    let sha256 = sha256(bytes);
    let unsure = |act: &Option<Act>| matches!(act, Some(Act::Clarify | Act::Handoff(Reason::LowConfidence)));
    let mut turns = Vec::new();
    let mut last = None;
    for (at, turn) in record.turns.iter().enumerate() {
        match turn.who {
            Who::Caller => last = Some(at),
            Who::Bot if unsure(&turn.act) => turns.extend(last.take()),
            Who::Bot | Who::Seat => {}
        }
    }
    // What was said before the seat came on is what the seat then answered.
    if let Some(bridged) = record.handoff.as_ref().and_then(|h| h.bridged_ms) {
        let before =
            |at: &usize| record.turns[*at].began_ms < bridged && record.turns[*at].who == Who::Caller;
        let asks = |at: &usize| weight(&record.turns[*at].text) >= LEAST;
        turns.extend((0..record.turns.len()).filter(before).rfind(asks));
    }
    turns.sort_unstable();
    turns.dedup();
    let asked = |at: usize| Asked {
        text: record.turns[at].text.clone(),
        call: record.info.id.clone(),
        sha256: sha256.clone(),
    };
    Ok(turns.into_iter().map(asked).collect())
}

/// Least weight of a turn that asks something.
const LEAST: usize = 4;

/// Chinese characters, and two for an English word, without what is said before and between.
fn weight(text: &str) -> usize {
    let text = strip_fillers(&normalize(text));
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()).count();
    text.chars().filter(|c| is_han(*c)).count() + 2 * words
}

/// Puts `asked` onto the shelf as drafts.
pub(super) fn learn(
    shelf: &mut Shelf,
    tenant: &Tenant,
    index: &Index,
    asked: &[Asked],
    options: &Options,
    report: &mut Report,
) -> Result<(), shelf::Error> {
    let limits = tenant.config.thresholds;
    // New questions by the entry that they may belong to, or in groups of their own.
    let mut gains: Vec<(Entry, Vec<&Asked>)> = Vec::new();
    for one in asked {
        let heard = Heard::new(&one.text);
        if weight(&one.text) < LEAST
            || one.text.chars().count() > LONGEST
            || is_filler(&normalize(&one.text))
            || heard.wants_person(tenant).is_some()
            || heard.danger(tenant).is_some()
        {
            continue;
        }
        if is_private(&one.text) {
            report.private += 1;
            continue;
        }
        let found = index.search(&one.text);
        if found.confidence >= limits.answer {
            report.answered += 1;
            continue;
        }
        let nearest = found.hits.first().filter(|_| found.confidence >= limits.near);
        let entry = match nearest.map(|hit| &tenant.knowledge.entries()[hit.entry]) {
            Some(nearest) => shelf.find(&nearest.id).map_or(nearest, |filed| &filed.entry).clone(),
            None => group(shelf, &gains, &one.text).unwrap_or_else(|| new_group(one, options)),
        };
        match gains.iter_mut().find(|(gaining, _)| gaining.id == entry.id) {
            Some((_, questions)) => questions.push(one),
            None => gains.push((entry, vec![one])),
        }
    }
    for (entry, questions) in gains {
        let there = shelf.find(&entry.id).is_some() || tenant.knowledge.entry(&entry.id).is_some();
        let mut next = entry.clone();
        for one in &questions {
            if !next.questions.iter().any(|q| same(q, &one.text)) {
                next.questions.push(one.text.trim_end_matches(['。', '？', '?', '.']).to_owned());
            }
        }
        if there && (next.questions == entry.questions || entry.status == Status::Retired) {
            report.unchanged.push(item(&entry));
            continue;
        }
        if there {
            next.version += 1;
            (next.status, next.approved_by, next.approved_at) = (Status::Draft, None, None);
        }
        let filed = &shelf.add(next)?.entry;
        if there { report.changed.push(item(filed)) } else { report.new.push(item(filed)) }
    }
    Ok(())
}

/// The entry or the new group whose questions are like `text`: one that has it goes before one that is like it.
fn group(shelf: &Shelf, gains: &[(Entry, Vec<&Asked>)], text: &str) -> Option<Entry> {
    let kept = || shelf.newest().map(|f| &f.entry).filter(|e| e.category == CATEGORY || is_asked(e));
    let has = kept().find(|e| e.questions.iter().any(|q| same(q, text)));
    let like = || kept().find(|e| e.questions.iter().any(|q| alike(q, text) >= ALIKE));
    let gaining = || {
        let mut gains = gains.iter().filter(|(entry, _)| is_asked(entry));
        let near = |entry: &Entry, asked: &[&Asked]| {
            let mut questions = entry.questions.iter().chain(asked.iter().map(|a| &a.text));
            questions.any(|q| alike(q, text) >= ALIKE)
        };
        gains.find(|(entry, asked)| near(entry, asked)).map(|(entry, _)| entry)
    };
    has.or_else(like).or_else(gaining).cloned()
}

fn is_asked(entry: &Entry) -> bool {
    entry.source.as_ref().is_some_and(|origin| origin.document == CALLS)
}

/// A draft for what no entry is near to; its answer is for a person to write.
fn new_group(asked: &Asked, options: &Options) -> Entry {
    let title = asked.text.trim_end_matches(['。', '？', '?', '.']).to_owned();
    let hash = sha256(strip_fillers(&normalize(&asked.text)).as_bytes());
    Entry {
        id: format!("{CATEGORY}-{}", &hash[..8]),
        version: 1,
        title_en: title.clone(),
        title: title.clone(),
        category: CATEGORY.into(),
        status: Status::Draft,
        valid_from: None,
        valid_until: None,
        models: Vec::new(),
        sensitivity: Sensitivity::Normal,
        keywords: Vec::new(),
        questions: vec![title],
        questions_en: Vec::new(),
        answer: String::new(),
        answer_en: None,
        expert: None,
        flow: None,
        source: Some(Origin {
            document: CALLS.into(),
            place: asked.call.clone(),
            sha256: asked.sha256.clone(),
            text_sha256: hash,
            taken: options.today,
            rest: None,
        }),
        approved_by: None,
        approved_at: None,
    }
}

/// True if the words may tell who asked: a number, a name, an address.
fn is_private(text: &str) -> bool {
    let digit = |c: &char| c.is_ascii_digit() || "零一二三四五六七八九幺".contains(*c);
    text.chars().filter(digit).count() >= DIGITS
        || ["我叫", "我姓", "免贵姓", "名字", "身份证", "我住", "车牌"].iter().any(|word| text.contains(word))
}

fn same(a: &str, b: &str) -> bool {
    strip_fillers(&normalize(a)) == strip_fillers(&normalize(b))
}

/// Dice's coefficient of the pairs of characters, 0..=1.
fn alike(a: &str, b: &str) -> f32 {
    let pairs = |text: &str| {
        let chars: Vec<char> = strip_fillers(&normalize(text)).chars().collect();
        chars.windows(2).map(|w| (w[0], w[1])).collect::<std::collections::HashSet<_>>()
    };
    let (a, b) = (pairs(a), pairs(b));
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    2.0 * a.intersection(&b).count() as f32 / (a.len() + b.len()) as f32
}
