use super::*;
use crate::call::event::HandoffOutcome;
use crate::dialogue::knowledge::Knowledge;
use crate::dialogue::source::Source;
use crate::dialogue::{Act, Reason, Who};
use crate::kb::check;
use crate::record::{CallInfo, CallRecord, Folder, HandoffRecord, TurnRecord};

use proptest::prelude::*;

const DAY: jiff::civil::Date = jiff::civil::date(2026, 3, 1);

/// A tenant of one approved entry, in a folder of its own.
struct House {
    root: tempfile::TempDir,
}

const WASH: &str = "+++\nid = \"wash\"\nversion = 1\ntitle = \"洗车\"\ncategory = \"c\"\nstatus = \"approved\"\nkeywords = [\"洗车\"]\nquestions = [\"可以用高压水枪洗车吗\", \"洗车要注意什么\"]\n+++\n请避开充电口。\n";

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let house = Self { root };
        std::fs::create_dir_all(house.knowledge()).expect("a folder in it");
        std::fs::create_dir_all(house.documents()).expect("a folder in it");
        let nev = Source::Embedded("nev".into());
        for file in [
            "tenant.toml",
            "backchannels.zh.txt",
            "backchannels.en.txt",
            "interrupts.zh.txt",
            "interrupts.en.txt",
        ] {
            let text = nev.read(file).expect("the reference tenant has it");
            std::fs::write(house.root.path().join("house").join(file), text).expect("a file");
        }
        std::fs::write(house.knowledge().join("wash.md"), WASH).expect("a file");
        house
    }

    fn knowledge(&self) -> PathBuf {
        self.root.path().join("house/knowledge")
    }

    fn documents(&self) -> PathBuf {
        self.root.path().join("documents")
    }

    fn document(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.documents().join(name), text).expect("a document");
    }

    fn tenant(&self) -> Tenant {
        Tenant::load_on("house", Some(self.root.path()), DAY).expect("the tenant loads, drafts and all")
    }

    fn shelf(&self) -> Shelf {
        Shelf::open(&self.knowledge()).expect("the shelf can be read")
    }

    fn ingest(&self) -> Report {
        let files = files(&[self.documents()]).expect("the folder can be read");
        let options = Options { category: "documents".into(), today: DAY };
        ingest(&mut self.shelf(), &self.tenant(), &files, &options, &mut |_| {})
            .expect("the shelf can be written")
    }

    /// Every file of the shelf with its content.
    fn content(&self) -> std::collections::BTreeMap<PathBuf, String> {
        let files =
            std::fs::read_dir(self.knowledge()).expect("the folder").map(|f| f.expect("a file").path());
        files.map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect()
    }
}

fn turn(who: Who, text: &str, began_ms: u64, act: Option<Act>) -> TurnRecord {
    let mut record: TurnRecord = serde_json::from_value(serde_json::json!({
        "who": who, "text": text, "began_ms": began_ms, "ended_ms": began_ms + 500, "interrupted": false,
        "confidence": null, "engine": null, "act": null, "tier": null, "topic": null, "sources": [], "timings": null
    }))
    .expect("a turn");
    record.act = act;
    record
}

fn call(turns: Vec<TurnRecord>, handoff: Option<HandoffRecord>) -> String {
    let info = CallInfo { id: "0198-call".into(), ..CallInfo::default() };
    let record = CallRecord { turns, handoff, ..Folder::new(info).record() };
    serde_json::to_string(&record).expect("a record")
}

#[test]
fn the_documents_become_drafts_and_a_second_time_nothing_changes() {
    let house = House::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents");
    for name in ["faq.md", "service.html", "manual.pdf", "warranty.docx", "parking.txt"] {
        house.document(name, std::fs::read(fixtures.join(name)).expect("a fixture"));
    }
    let first = house.ingest();
    assert!(first.failed.is_empty(), "{:?}", first.failed);
    assert_eq!(
        first.new.len(),
        14,
        "4 of Markdown, 3 of HTML, 3 of PDF, 2 of Word, 2 of text: {:#?}",
        first.new
    );
    let content = house.content();
    let second = house.ingest();
    assert_eq!((second.new.len(), second.changed.len(), second.unchanged.len()), (0, 0, 14));
    assert_eq!(house.content(), content);
    let shelf = house.shelf();
    for filed in shelf.entries().iter().filter(|f| f.entry.source.is_some()) {
        let entry = &filed.entry;
        assert_eq!(entry.status, Status::Draft, "{}", entry.id);
        assert!(entry.answer.chars().count() <= 80, "{} is too long to listen to", entry.answer);
        assert!(!entry.questions.is_empty() && !entry.keywords.is_empty(), "{entry:?}");
        let again = crate::dialogue::knowledge::parse("again", &shelf::render(entry)).expect("it reads back");
        assert_eq!(&again, entry);
    }
    let key =
        shelf.entries().iter().find(|f| f.entry.title == "钥匙没电了怎么开门").expect("the FAQ's question");
    let origin = key.entry.source.as_ref().expect("its source");
    assert_eq!((origin.document.as_str(), origin.taken), ("faq.md", DAY));
    assert!(
        key.entry.answer.ends_with('。') && origin.rest.is_some(),
        "cut at a sentence, the rest kept: {:?}",
        key.entry
    );
}

#[test]
fn a_draft_is_told_to_nobody_before_it_is_approved() {
    let house = House::new();
    house.document("a.md", "# 拖车钩在哪里？\n\n拖车钩在行李箱的地板下面。\n");
    let id = house.ingest().new[0].id.clone();
    let question = "拖车钩在哪里";
    let found = |house: &House| {
        let tenant = house.tenant();
        let hits = Index::new(&tenant.knowledge).search(question).hits;
        hits.first().map(|hit| tenant.knowledge.entries()[hit.entry].id.clone())
    };
    assert_ne!(found(&house), Some(id.clone()), "it is a draft");
    let mut shelf = house.shelf();
    let config = house.tenant().config;
    let filed = shelf.approve(&id, "王敏", DAY, |e| check::unfit(e, &config, None).pop()).expect("it is fit");
    assert_eq!((filed.entry.approved_by.as_deref(), filed.entry.approved_at), (Some("王敏"), Some(DAY)));
    assert_eq!(found(&house), Some(id.clone()));
    shelf.retire(&id).expect("it is there");
    assert_ne!(found(&house), Some(id), "it is retired");
}

#[test]
fn what_has_changed_is_a_new_version_beside_the_old_one() {
    let house = House::new();
    house.document("a.md", "# 质保期\n\n质保三年。\n\n# 拖车\n\n请用平板拖车。\n");
    let id = house.ingest().new[0].id.clone();
    let path = house.knowledge().join(format!("{id}.md"));
    let edited = std::fs::read_to_string(&path).expect("it is there").replace("质保三年。", "三年质保。");
    std::fs::write(&path, &edited).expect("a reviewer's hand");
    assert_eq!(house.ingest().changed, [], "the source says what it said");
    house.shelf().approve(&id, "王敏", DAY, |_| None).expect("it is there");
    house.document("a.md", "# 质保期\n\n质保四年。\n");
    let report = house.ingest();
    let changed: Vec<_> = report.changed.iter().map(|i| (i.id.as_str(), i.version)).collect();
    assert_eq!(changed, [(id.as_str(), 2)]);
    assert_eq!(report.gone.iter().map(|i| i.title.as_str()).collect::<Vec<_>>(), ["拖车"]);
    assert_eq!(
        house.tenant().knowledge.entry(&id).map(|e| e.answer.as_str()),
        Some("三年质保。"),
        "until approved"
    );
    house.shelf().approve(&id, "王敏", DAY, |_| None).expect("it is there");
    assert_eq!(house.tenant().knowledge.entry(&id).map(|e| e.answer.as_str()), Some("质保四年。"));
    assert_eq!(house.ingest().changed, []);
}

#[test]
fn a_document_that_was_moved_is_known_again() {
    let house = House::new();
    house.document("a.md", "# 质保期\n\n质保三年。\n");
    house.ingest();
    std::fs::rename(house.documents().join("a.md"), house.documents().join("b.md")).expect("a move");
    let report = house.ingest();
    assert_eq!((report.new.len(), report.unchanged.len()), (0, 1));
}

#[test]
fn a_broken_file_does_not_stop_the_others() {
    let house = House::new();
    house.document("a.pdf", "%PDF-1.7 and no more");
    house.document("b.docx", "PK");
    house.document("c.json", "{}");
    house.document("d.html", "");
    house.document("e.md", "# 质保期\n\n质保三年。\n");
    let report = house.ingest();
    assert_eq!(report.new.len(), 1);
    let failed: Vec<_> =
        report.failed.iter().map(|f| f.file.rsplit('/').next().unwrap_or_default()).collect();
    assert_eq!(failed, ["a.pdf", "b.docx", "c.json", "d.html"]);
}

#[test]
fn what_callers_asked_in_vain_becomes_questions() {
    let house = House::new();
    let clarify = || Some(Act::Clarify);
    let lost = Some(Act::Handoff(Reason::LowConfidence));
    house.document(
        "a.json",
        call(
            vec![
                turn(Who::Caller, "车载冰箱怎么制冷", 100, None),
                turn(Who::Bot, "抱歉，请再说一遍。", 900, clarify()),
                turn(Who::Caller, "我的电话是一三八零零一三八零零零", 2000, None),
                turn(Who::Bot, "这个问题我没有把握。", 2900, lost),
                turn(Who::Caller, "车载冰箱怎么制冷呀", 4000, None),
                turn(Who::Caller, "嗯", 4800, None),
                turn(Who::Seat, "您好。", 6000, None),
            ],
            Some(HandoffRecord {
                reason: Reason::LowConfidence,
                seats: Vec::new(),
                failed: Vec::new(),
                summary: None,
                outcome: Some(HandoffOutcome::Accepted),
                referred: false,
                bridged_ms: Some(5000),
            }),
        ),
    );
    house.document(
        "b.json",
        call(
            vec![
                turn(Who::Caller, "可以用高压水枪洗车吗", 100, None),
                turn(Who::Bot, "抱歉，请再说一遍。", 900, clarify()),
                turn(Who::Caller, "转人工", 2000, None),
                turn(Who::Bot, "抱歉，请再说一遍。", 2900, clarify()),
            ],
            None,
        ),
    );
    let report = house.ingest();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(
        (report.private, report.answered),
        (1, 1),
        "a number is left out, the car wash is known: {report:?}"
    );
    assert_eq!(report.new.len(), 1, "{report:?}");
    let shelf = house.shelf();
    let asked = shelf.find(&report.new[0].id).expect("it is there").entry.clone();
    assert_eq!(asked.questions, ["车载冰箱怎么制冷"], "said twice, asked once");
    assert_eq!((asked.answer.as_str(), asked.status), ("", Status::Draft));
    let config = house.tenant().config;
    let mut shelf = house.shelf();
    let unfit = shelf.approve(&asked.id, "王敏", DAY, |e| check::unfit(e, &config, None).pop());
    assert!(matches!(unfit, Err(shelf::Error::Unfit { .. })), "nobody has written an answer");
    let content = house.content();
    let again = house.ingest();
    assert_eq!((again.new.len(), again.changed.len()), (0, 0));
    assert_eq!(house.content(), content);
}

#[test]
fn every_problem_is_told_at_once() {
    let house = House::new();
    let mut config = house.tenant().config;
    config.models = vec!["青屿 S7".into()];
    let file = |name: &str, from: &str, to: &str| {
        let text = WASH.replace("\"wash\"", &format!("\"{name}\"")).replace(from, to);
        std::fs::write(house.knowledge().join(format!("{name}.md")), text).expect("a file");
    };
    file("past", "status", "valid_until = \"2026-02-01\"\nstatus");
    file(
        "soon",
        "status",
        "valid_until = \"2026-03-20\"\nquestions_en = [\"may I wash it\"]\nanswer_en = \"Yes.\"\nstatus",
    );
    file("long", "请避开充电口。", &"请避开充电口。".repeat(12));
    file("model", "status", "models = [\"青屿 X5\"]\nstatus");
    file("rude", "请避开充电口。", "百分之百可以。");
    file("flow", "status", "flow = \"no-such-flow\"\nstatus");
    std::fs::write(house.knowledge().join("broken.md"), "no front matter").expect("a file");
    let source = Source::Folder(house.root.path().join("house"));
    let read = crate::dialogue::knowledge::read(&source).expect("the folder can be read");
    let problems = check::check(read, &config, Some(&crate::dialogue::flow::Flows::default()), DAY);
    let told = |id: Option<&str>, words: &str| {
        assert!(
            problems.iter().any(|p| p.id.as_deref() == id && p.problem.contains(words)),
            "{id:?} has {words}: {problems:#?}"
        );
    };
    told(None, "+++");
    told(Some("past"), "2026-02-01");
    told(Some("soon"), "2026-03-20");
    told(Some("long"), "84 characters");
    told(Some("model"), "青屿 X5");
    told(Some("rude"), "百分之百");
    told(Some("flow"), "no-such-flow");
    told(Some("wash"), "finds `flow` first");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn taking_in_twice_changes_nothing(
        sections in proptest::collection::vec(("[一-三#问答QA：: ]{0,6}", proptest::collection::vec("[ -~电车。，问答：\"\\\\+|]{0,120}", 0..4)), 1..6)
    ) {
        let house = House::new();
        let text: Vec<String> = sections.iter().map(|(heading, texts)| format!("# {heading}\n\n{}\n\n", texts.join("\n\n"))).collect();
        let text = text.concat();
        house.document("a.md", &text);
        house.document("b.txt", &text);
        let first = house.ingest();
        let content = house.content();
        let second = house.ingest();
        prop_assert_eq!((second.new.len(), second.changed.len(), second.gone.len()), (0, 0, 0), "of {:?}", text);
        prop_assert_eq!(second.unchanged.len(), first.new.len() + first.unchanged.len(), "of {:?}", text);
        prop_assert_eq!(house.content(), content);
        let knowledge = Knowledge::load(&Source::Folder(house.root.path().join("house")), DAY, &[]);
        let knowledge = knowledge.expect("drafts do not keep a tenant from being loaded");
        prop_assert_eq!(knowledge.entries().len(), 1, "only what was approved is told");
    }
}
