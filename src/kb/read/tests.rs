use super::*;
use crate::kb::section::sections;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/documents");

/// Place and text of each section of a document.
fn read_in(name: &str) -> Vec<(String, String)> {
    let path = Path::new(FOLDER).join(name);
    let kind = Kind::of(&path).expect("a known kind");
    let bytes = bytes(&path).expect("the fixture is there");
    let blocks = blocks(&path, kind, &bytes).unwrap_or_else(|error| panic!("{error}"));
    sections("标题", &blocks).into_iter().map(|s| (s.place(), s.text.join(" | "))).collect()
}

fn wanted(sections: &[(&str, &str)]) -> Vec<(String, String)> {
    sections.iter().map(|(place, text)| ((*place).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn markdown_gives_its_sections_tables_and_questions() {
    let sections = read_in("faq.md");
    assert_eq!(
        sections,
        wanted(&[
            ("雨刮和玻璃水", "冬天请换用防冻的玻璃水。"),
            ("雨刮和玻璃水 › 怎么换雨刮片？", "打开维修模式。 | 立起雨刮，按下卡扣，向下抽出雨刮片。"),
            ("雨刮和玻璃水 › 规格", "位置：主驾，长度：六十五厘米。 | 位置：副驾，长度：四十五厘米。"),
            (
                "钥匙 › 钥匙没电了怎么开门？",
                "把钥匙贴近左前门把手，就能开门。上车后，把钥匙放在杯架前面的感应区，再踩下刹车启动。如果还是不能启动，请打服务热线，我们会派人过来帮您处理，请在安全的地方等待，不要离开车辆太远。"
            ),
        ])
    );
}

#[test]
fn a_web_page_gives_what_it_says_and_not_its_frame() {
    let sections = read_in("service.html");
    assert_eq!(
        sections,
        wanted(&[
            ("保养价格", "价格包含工时费，不同城市可能有差别。"),
            ("保养价格 › 常规项目", "项目：空调滤芯，价格：一百二十元。 | 项目：刹车油，价格：三百元。"),
            ("保养价格 › 怎么预约？", "在手机软件里点预约。 | 也可以打服务热线"),
        ])
    );
}

#[test]
fn a_pdf_gives_its_sections_with_their_pages() {
    let sections = read_in("manual.pdf");
    assert_eq!(
        sections,
        wanted(&[
            (
                "第 1 页 › 充电 › 快速充电",
                "快速充电适合长途出行。从百分之三十充到百分之八十，大约需要三十分钟。天气很冷的时候，充电会慢一些，这是电池在保护自己。请不要在充电的时候反复插拔充电枪。"
            ),
            ("第 1 页 › 充电 › 家用充电桩", "家用充电桩由专业人员安装。安装之前，请先向物业申请。"),
            (
                "第 2 页 › 常见问题 › 充电口盖打不开怎么办？",
                "请先确认车辆已经解锁。冬天结冰的时候，可以用温水化开。"
            ),
        ])
    );
}

#[test]
fn a_word_document_gives_its_headings_and_tables() {
    let sections = read_in("warranty.docx");
    assert_eq!(
        sections,
        wanted(&[
            ("三电质保", "首任车主的电池、电机和电控有长期质保。改装 & 事故造成的损坏不在其中。"),
            (
                "易损件",
                "易损件的质保期如下。 | 部件：雨刮片，质保期：六个月。 | 部件：刹车片，质保期：一年。"
            ),
        ])
    );
}

#[test]
fn plain_text_in_an_older_encoding_is_read() {
    assert_eq!(
        read_in("parking.txt"),
        wanted(&[
            ("停车须知", "长时间停放之前，请把电量保持在百分之五十左右。 | 每个月检查一次。"),
            ("拖车", "请用平板拖车，不要让驱动轮着地。"),
        ])
    );
}

#[test]
fn broken_and_empty_documents_are_told_apart() {
    let whole = std::fs::read(Path::new(FOLDER).join("manual.pdf")).expect("the fixture is there");
    let word = std::fs::read(Path::new(FOLDER).join("warranty.docx")).expect("the fixture is there");
    let hollow: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for (name, bytes) in [
        ("a.pdf", &whole[..whole.len() / 3]),
        ("b.pdf", b"no pdf at all".as_slice()),
        ("c.pdf", b"".as_slice()),
        ("a.docx", &word[..word.len() / 2]),
        ("b.docx", b"PK\x03\x04".as_slice()),
        ("c.docx", hollow),
    ] {
        let path = Path::new(name);
        let read = blocks(path, Kind::of(path).expect("a kind"), bytes);
        let error = read.expect_err(name).to_string();
        assert!(error.starts_with(name), "the message names the file: {error}");
    }
    for name in ["a.md", "a.html", "a.txt"] {
        let path = Path::new(name);
        let read = blocks(path, Kind::of(path).expect("a kind"), b" \n");
        assert!(matches!(read, Err(Error::Empty { .. })), "{name}: {read:?}");
    }
}

#[test]
fn a_huge_file_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(LARGEST + 1).expect("a file with a hole");
    assert!(matches!(bytes(file.path()), Err(Error::Huge { .. })));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_makes_a_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        for name in ["a.md", "a.html", "a.txt", "a.docx"] {
            let path = Path::new(name);
            // Any answer will do, as long as there is one.
            if let Ok(blocks) = blocks(path, Kind::of(path).expect("a kind"), &bytes) {
                let _ = sections("标题", &blocks);
            }
        }
    }
}
