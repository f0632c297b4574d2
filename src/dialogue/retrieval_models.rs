//! Entries that hold for some vehicles only.

use super::*;
use crate::dialogue::knowledge;

fn entry(id: &str, models: &str, title: &str, questions: &[&str], answer: &str) -> Entry {
    let text = format!(
        "+++\nid = \"{id}\"\nversion = 1\ntitle = \"{title}\"\ncategory = \"c\"\nstatus = \"approved\"\nmodels = [{models}]\nquestions = {questions:?}\n+++\n{answer}\n"
    );
    knowledge::parse("test.md", &text).expect("a well-formed entry")
}

/// The same question for two models and a year, one question for all, and one that only the S7 has.
fn knowledge() -> Knowledge {
    let tyre = &["轮胎气压打多少合适", "胎压标准是多少"];
    Knowledge::of(vec![
        entry("tyre-s7", "\"青屿 S7 2023-2025\"", "S7的胎压", tyre, "两点五巴。"),
        entry("tyre-x5", "\"青屿 X5\"", "X5的胎压", tyre, "两点七巴。"),
        entry("tyre-all", "", "胎压", tyre, "请看车门边的标签。"),
        entry(
            "frunk",
            "\"青屿 S7\"",
            "前备箱",
            &["前备箱怎么打开", "前面的行李箱怎么开"],
            "在车机里点前备箱。",
        ),
        entry("wash", "", "洗车", &["可以用高压水枪洗车吗", "洗车要注意什么"], "请避开充电口。"),
    ])
}

fn first(text: &str, vehicle: Option<&str>) -> (String, f32) {
    let knowledge = knowledge();
    let vehicle = vehicle.map(|v| Vehicle::parse(v).expect("a vehicle"));
    let found = Index::new(&knowledge).search_for(text, vehicle.as_ref());
    let id = found.hits.first().map_or("none", |h| &knowledge.entries()[h.entry].id);
    (id.to_owned(), found.confidence)
}

#[test]
fn the_same_question_is_answered_for_the_callers_model() {
    for (vehicle, wanted) in [
        (Some("青屿 S7 2024"), "tyre-s7"),
        (Some("青屿 X5 2022"), "tyre-x5"),
        (Some("青屿 S7 2026"), "tyre-all"),
        (Some("青屿 S7"), "tyre-all"),
        (Some("青屿 E1 2024"), "tyre-all"),
        (None, "tyre-all"),
    ] {
        let (id, confidence) = first("轮胎气压打多少合适", vehicle);
        assert_eq!(id, wanted, "for {vehicle:?}");
        assert!(confidence >= 0.6, "the others do not make it less sure for {vehicle:?}: {confidence}");
    }
}

#[test]
fn a_model_that_the_caller_names_counts() {
    assert_eq!(first("我的X5轮胎气压打多少合适", None).0, "tyre-x5");
    assert_eq!(first("青屿S7 2024款胎压标准是多少", None).0, "tyre-s7");
}

#[test]
fn what_holds_for_another_model_is_never_found() {
    assert_ne!(first("前备箱怎么打开", Some("青屿 X5 2023")).0, "frunk");
}

#[test]
fn what_holds_for_some_models_is_asked_back_while_the_vehicle_is_unknown() {
    let (id, confidence) = first("前备箱怎么打开", None);
    assert_eq!(id, "frunk");
    assert!(confidence < 0.6, "the caller may have another model: {confidence}");
    let (id, confidence) = first("前备箱怎么打开", Some("青屿 S7 2024"));
    assert_eq!(id, "frunk");
    assert!(confidence >= 0.6, "it holds for this model: {confidence}");
}

#[test]
fn the_words_that_led_to_an_entry_are_told() {
    let knowledge = knowledge();
    let index = Index::new(&knowledge);
    let wash = knowledge.entries().iter().position(|e| e.id == "wash").expect("it is there");
    let words = index.matched("洗车可以用水枪吗", wash);
    assert!(words.iter().any(|w| w == "洗车"), "{words:?}");
}
