//! Flows as data: what is wrong with them, and how they are walked.

use serde_json::{Map, Value, json};

use super::*;
use crate::dialogue::memory::{Asked, Progress};
use crate::dialogue::source::Source;
use crate::dialogue::text::Lang;
use crate::tools::{Outcome, Specs, Use, Used};

const TOOLS: &str = r#"
[[tool]]
name = "free"
description = "free times of a day"
method = "GET"
path = "/free"
changes = false
[tool.parameters]
type = "object"
properties = { day = { type = "string" } }

[[tool]]
name = "book"
description = "books"
method = "POST"
path = "/book"
changes = true
[tool.parameters]
type = "object"
properties = { start = { type = "string" } }
"#;

const FLOW: &str = r#"
id = "visit"
title = "预约"
title_en = "a visit"
topic = "booking"
given_up = "好的，不约了。"
given_up_en = "All right."
[slots.date]
kind = "date"
[slots.start]
kind = "time"
from = "free.times"
[[step]]
say = "您好。"
say_en = "Hello."
[[step]]
ask = "date"
say = "哪天？"
say_en = "Which day?"
again = "请说哪一天。"
again_en = "Please name a day."
[[step]]
call = "free"
with = { day = "date" }
[[step]]
when = "free.times|length == 0"
forget = ["date"]
say = "{{ date|day }}没有空位。"
say_en = "{{ date|day }} is full."
[[step]]
ask = "start"
say = "几点？"
say_en = "What time?"
[[step]]
confirm = "{{ start|clock }}，对吗？"
confirm_en = "{{ start|clock }}, right?"
[[step]]
call = "book"
with = { start = "start" }
save = "booked"
[[step]]
when = "booked.error == 'taken'"
forget = ["start"]
say = "刚被约走。"
say_en = "It is gone."
[[step]]
end = true
say = "约好了。"
say_en = "Booked."
"#;

const PART: &str = r#"
id = "who"
part = true
keep = ["known"]
[slots.proof]
kind = "proof"
[[step]]
when = "failed.proof and failed.proof >= 2"
handoff = "low_confidence"
[[step]]
ask = "proof"
say = "后四位？"
say_en = "Which digits?"
[[step]]
when = "proof.tail != whose"
forget = ["proof"]
say = "不对。"
say_en = "Wrong."
[[step]]
set = { known = "whose" }
"#;

fn load(flow: &str) -> Result<Flows, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("flows")).expect("its flows");
    std::fs::write(folder.path().join("flows/visit.toml"), flow).expect("a flow");
    std::fs::write(folder.path().join("flows/who.toml"), PART).expect("a part");
    let tools = Specs::parse("tools.toml", TOOLS).expect("the tools are well formed");
    Flows::load(&Source::Folder(folder.path().to_owned()), &tools)
}

/// A flow with a caller and tools that answer from a table.
struct Bench {
    flows: Flows,
    progress: Progress,
    used: Vec<Used>,
}

impl Bench {
    fn new() -> Self {
        Self::of(FLOW)
    }

    fn of(flow: &str) -> Self {
        let flows = load(flow).expect("the flow is well formed");
        Self { flows, progress: Progress::new("visit", 1, Map::new()), used: Vec::new() }
    }

    fn scene<'a>(flows: &'a Flows, used: &'a [Used], facts: &'a Map<String, Value>) -> Scene<'a> {
        let now = jiff::civil::date(2026, 11, 23).at(22, 0, 0, 0);
        Scene { flows, facts, used, caller: None, now, lang: Lang::Zh }
    }

    fn walk(&mut self) -> Walk {
        let facts = Map::new();
        let scene = Self::scene(&self.flows, &self.used, &facts);
        scene.walk(self.flows.find("visit").expect("it is there"), &mut self.progress)
    }

    fn say(&mut self, text: &str) -> Learned {
        let known = self.walk().known;
        let facts = Map::new();
        let scene = Self::scene(&self.flows, &self.used, &facts);
        scene.learn(self.flows.find("visit").expect("it is there"), &mut self.progress, &known, text)
    }

    /// The tool that it needs now answers so.
    fn answer(&mut self, outcome: Outcome) -> Use {
        match self.walk().stand {
            Stand::Uses(what) => {
                self.used.push(Used { what: what.clone(), outcome });
                what
            }
            other => panic!("no tool is needed: {other:?}"),
        }
    }

    fn question(&mut self) -> String {
        match self.walk().stand {
            Stand::Asks { question } => question,
            other => panic!("nothing is asked: {other:?}"),
        }
    }
}

fn times(times: &[&str]) -> Outcome {
    Outcome::Done(json!({ "times": times }))
}

#[test]
fn a_flow_asks_uses_reads_out_and_ends() {
    let mut bench = Bench::new();
    assert_eq!(bench.walk().told, ["您好。"]);
    assert_eq!(bench.question(), "哪天？");
    assert_eq!(bench.say("后天"), Learned::Something);
    let what = bench.answer(times(&["2026-11-25T09:00", "2026-11-25T14:00"]));
    assert_eq!((what.tool.as_str(), &what.arguments["day"]), ("free", &json!("2026-11-25")));
    assert_eq!(bench.question(), "几点？");
    assert_eq!(bench.say("下午两点"), Learned::Something);
    assert_eq!(bench.question(), "下午两点，对吗？");
    assert_eq!(bench.say("对的"), Learned::Something);
    assert_eq!(bench.answer(Outcome::Done(json!({}))).arguments["start"], json!("2026-11-25T14:00"));
    let walk = bench.walk();
    assert_eq!((walk.told.len(), walk.stand), (0, Stand::Ends("约好了。".into())), "nothing is told twice");
}

#[test]
fn a_time_named_too_early_is_kept_and_a_new_day_keeps_the_time() {
    let mut bench = Bench::new();
    bench.say("后天下午两点");
    bench.answer(times(&["2026-11-25T09:00", "2026-11-25T14:00"]));
    assert_eq!(bench.question(), "下午两点，对吗？");
    assert_eq!(bench.say("不是周三是周四"), Learned::Something);
    assert_eq!(bench.progress.agreed, None);
    bench.answer(times(&["2026-11-26T14:00"]));
    assert_eq!(bench.question(), "下午两点，对吗？");
    assert_eq!(bench.progress.slots["start"], json!("2026-11-26T14:00"));
}

#[test]
fn a_full_day_and_a_taken_time_are_told_and_asked_for_again() {
    let mut bench = Bench::new();
    bench.say("明天");
    bench.answer(times(&[]));
    let walk = bench.walk();
    assert!(walk.told.last().is_some_and(|told| told.contains("没有空位")), "{walk:?}");
    assert_eq!(bench.question(), "哪天？");
    bench.say("后天上午");
    bench.answer(times(&["2026-11-25T09:00", "2026-11-25T10:00"]));
    assert_eq!(bench.question(), "上午九点，对吗？");
    bench.say("对");
    bench.answer(Outcome::Refused { code: "taken".into(), answer: json!({}) });
    let walk = bench.walk();
    assert_eq!(walk.told, ["刚被约走。"]);
    assert_eq!(walk.stand, Stand::Asks { question: "几点？".into() });
    bench.say("十点");
    assert_eq!(bench.question(), "上午十点，对吗？", "the old yes does not count for a new time");
}

#[test]
fn a_no_is_a_no_and_giving_up_is_another() {
    let mut bench = Bench::new();
    bench.say("后天下午两点");
    bench.answer(times(&["2026-11-25T14:00"]));
    assert!(matches!(bench.progress.asked, None | Some(Asked::Slot(_))));
    assert_eq!(bench.question(), "下午两点，对吗？");
    assert_eq!(bench.say("不对"), Learned::No);
    assert_eq!(bench.say("算了不约了"), Learned::GivenUp);
    assert_eq!(bench.say("你们家的猫在哪里"), Learned::Nothing);
}

#[test]
fn a_part_stands_where_it_is_included_and_counts_its_misses() {
    let with = "[[step]]\nwhen = \"date\"\ninclude = \"who\"\nwith = { whose = \"'1234'\" }\n[[step]]\ncall = \"free\"";
    let flow = FLOW.replacen("[[step]]\ncall = \"free\"", with, 1);
    let mut bench = Bench::of(&flow);
    assert_eq!(bench.question(), "哪天？", "not before its condition holds");
    bench.say("后天");
    assert_eq!(bench.question(), "后四位？");
    assert_eq!(bench.say("幺二三五"), Learned::Something);
    let walk = bench.walk();
    assert_eq!((walk.told.len(), walk.stand), (1, Stand::Asks { question: "后四位？".into() }));
    let mut other = Bench { flows: load(&flow).expect("it is well formed"), ..Bench::of(&flow) };
    other.progress = bench.progress.clone();
    bench.say("幺二三四");
    assert!(matches!(bench.walk().stand, Stand::Uses(what) if what.tool == "free"));
    assert_eq!(bench.walk().known["known"], json!("1234"));
    other.say("九九九九");
    assert_eq!(other.walk().stand, Stand::HandsOff(Reason::LowConfidence, String::new()));
    assert!(bench.flows.find("who").is_none(), "a part is no flow");
}

#[test]
fn the_words_that_begin_a_flow_fill_a_slot_if_they_tell_enough() {
    let flow = FLOW.replacen("kind = \"date\"", "kind = \"words\"\nfirst = 6", 1);
    let flows = load(&flow).expect("it is well formed");
    let visit = flows.find("visit").expect("it is there");
    assert_eq!(visit.takes_first_words("我要投诉"), None);
    let taken = visit.takes_first_words("我要投诉浦东门店").expect("it tells something");
    assert_eq!(taken, ("date".to_owned(), json!("投诉浦东门店")));
}

#[test]
fn a_tool_that_fails_ends_the_flow_with_the_reason() {
    let mut bench = Bench::new();
    bench.say("后天");
    bench.answer(Outcome::Failed("HTTP 500".into()));
    assert!(matches!(bench.walk().stand, Stand::Broken(why) if why.contains("free") && why.contains("500")));
}

#[test]
fn a_wrong_flow_is_refused_with_file_place_and_reason() {
    for (from, to, says) in [
        ("call = \"free\"", "call = \"fly\"", "no tool `fly`"),
        ("{ day = \"date\" }", "{ wing = \"date\" }", "no parameter `wing`"),
        ("ask = \"start\"", "ask = \"stop\"", "no slot `stop`"),
        ("kind = \"date\"", "kind = \"dates\"", "no kind `dates`"),
        ("{{ start|clock }}，对吗", "{{ start|clock，对吗", "is no text"),
        ("free.times|length == 0", "free.times|length ==", "is no expression"),
        ("say_en = \"Hello.\"", "", "`say_en` is missing"),
        ("end = true", "", "none of them ends it"),
        ("forget = [\"date\"]", "forget = [\"date\"]\nend = true", "more than one thing"),
        ("ask = \"date\"", "include = \"whom\"", "no part `whom`"),
        ("kind = \"date\"", "kindd = \"date\"", "visit.toml:9"),
    ] {
        let error = load(&FLOW.replacen(from, to, 1)).expect_err("it is wrong").to_string();
        assert!(error.contains(says) && error.contains("visit.toml"), "{from} → {to}: {error}");
    }
}
