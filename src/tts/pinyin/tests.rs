//! Readings of sentences from the hotline, syllable by syllable.

use super::*;

fn reader() -> Reader {
    Reader::new(
        include_str!("../../../voices/nightline-zh/polyphones.txt"),
        include_str!("../../../voices/nightline-zh/lexicon.txt"),
    )
    .unwrap()
}

fn read(reader: &Reader, text: &str) -> String {
    let units = reader.read(text);
    let words = units.iter().filter_map(|u| match &u.say {
        Say::Word(syllables) => Some(syllables.join(" ")),
        Say::English(text) => Some(format!("<{text}>")),
        Say::Pause(_) => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn tricky_sentences_are_read_right() {
    let reader = reader();
    let cases = [
        ("续航还剩多少公里", "xu4 hang2 hai2 sheng4 duo1 shao5 gong1 li3"),
        ("充电要多长时间", "chong1 dian4 yao4 duo1 chang2 shi2 jian1"),
        ("保养几个月一次", "bao3 yang3 ji3 ge5 yue4 yi2 ci4"),
        ("请带上行驶证", "qing3 dai4 shang4 xing2 shi3 zheng4"),
        ("请重启车机", "qing3 chong2 qi3 che1 ji1"),
        ("调整座椅", "tiao2 zheng3 zuo4 yi3"),
        ("屏幕上有几行字", "ping2 mu4 shang4 you3 ji3 hang2 zi4"),
        ("长安汽车", "chang2 an1 qi4 che1"),
        ("重庆服务中心", "chong2 qing4 fu2 wu4 zhong1 xin1"),
        ("电机功率和效率", "dian4 ji1 gong1 lv4 he2 xiao4 lv4"),
        ("电力供给不足", "dian4 li4 gong1 ji3 bu4 zu2"),
        ("应急电话", "ying4 ji2 dian4 hua4"),
        ("十分钟", "shi2 fen1 zhong1"),
        ("请等一会儿", "qing3 deng3 yi2 hui4 r5"),
        ("稍等一下", "shao1 deng3 yi2 xia4"),
        ("请不要熄火", "qing3 bu2 yao4 xi1 huo3"),
        ("好的", "hao3 de5"),
        ("我觉得可以", "wo3 jue2 de5 ke3 yi3"),
        ("只有一个", "zhi3 you3 yi2 ge5"),
        ("我去银行还钱", "wo3 qu4 yin2 hang2 huan2 qian2"),
        ("重新登录", "chong2 xin1 deng1 lu4"),
        ("车身长度", "che1 shen1 chang2 du4"),
        ("音乐播放", "yin1 yue4 bo1 fang4"),
        ("这个很重要", "zhe4 ge5 hen3 zhong4 yao4"),
        ("还有都为您准备好了", "hai2 you3 dou1 wei4 nin2 zhun3 bei4 hao3 le5"),
        ("慢慢地松开刹车", "man4 man4 de5 song1 kai1 sha1 che1"),
        ("着急吗", "zhao2 ji2 ma5"),
        ("车辆着火请马上离开", "che1 liang4 zhao2 huo3 qing3 ma3 shang4 li2 kai1"),
        ("充不了电", "chong1 bu4 liao3 dian4"),
        ("为了您的安全", "wei4 le5 nin2 de5 an1 quan2"),
        ("更换轮胎", "geng1 huan4 lun2 tai1"),
        ("系好安全带", "ji4 hao3 an1 quan2 dai4"),
        ("系统升级", "xi4 tong3 sheng1 ji2"),
        ("倒车影像", "dao4 che1 ying3 xiang4"),
        ("转接人工", "zhuan3 jie1 ren2 gong1"),
        ("电机转速", "dian4 ji1 zhuan4 su4"),
        ("空调不制冷", "kong1 tiao2 bu2 zhi4 leng3"),
        ("处理完了", "chu3 li3 wan2 le5"),
        ("服务网点到处都有", "fu2 wu4 wang3 dian3 dao4 chu4 dou1 you3"),
        ("下载应用", "xia4 zai4 ying4 yong4"),
        ("每间隔一万公里", "mei3 jian4 ge2 yi2 wan4 gong1 li3"),
        ("第一次保养", "di4 yi1 ci4 bao3 yang3"),
        ("一月一号", "yi1 yue4 yi1 hao4"),
        ("二零一六年", "er4 ling2 yi1 liu4 nian2"),
        ("三点一四", "san1 dian3 yi1 si4"),
        ("一百一十公里", "yi4 bai3 yi1 shi2 gong1 li3"),
        ("一千元", "yi4 qian1 yuan2"),
        ("是不是坏了", "shi4 bu5 shi4 huai4 le5"),
        ("不好意思", "bu4 hao3 yi4 si5"),
        ("参与活动", "can1 yu4 huo2 dong4"),
        ("划痕可以修复吗", "hua2 hen2 ke3 yi3 xiu1 fu4 ma5"),
        ("我得去一趟", "wo3 dei3 qu4 yi2 tang4"),
        ("自动泊车", "zi4 dong4 bo2 che1"),
        ("蔚来汽车", "wei4 lai2 qi4 che1"),
        ("店长不在", "dian4 zhang3 bu2 zai4"),
        ("钥匙没电了", "yao4 shi5 mei2 dian4 le5"),
        ("换三只轮胎", "huan4 san1 zhi1 lun2 tai1"),
        ("幺三八 零零幺三", "yao1 san1 ba1 ling2 ling2 yao1 san1"),
        ("分期还款的利率", "fen1 qi1 huan2 kuan3 de5 li4 lv4"),
        ("把手卡住了", "ba3 shou3 ka3 zhu4 le5"),
        ("麻烦您说一说", "ma2 fan5 nin2 shuo1 yi5 shuo1"),
        ("放假期间照常营业", "fang4 jia4 qi1 jian1 zhao4 chang2 ying2 ye4"),
        ("便宜多少", "pian2 yi5 duo1 shao5"),
        ("看看地图和具体地址", "kan4 kan4 di4 tu2 he2 ju4 ti3 di4 zhi3"),
        ("目的地没有信号", "mu4 di4 di4 mei2 you3 xin4 hao4"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, want)| {
            let got = read(&reader, text);
            (got != *want).then(|| format!("{text}\n   got {got}\nwanted {want}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn capitals_are_spelled_and_words_are_left_to_the_english_voice() {
    let reader = reader();
    assert_eq!(read(&reader, "打开APP升级OTA"), "da3 kai1 A P P sheng1 ji2 O T A");
    assert_eq!(read(&reader, "连接WiFi"), "lian2 jie1 wai1 fai5");
    assert_eq!(read(&reader, "打开Autopilot"), "da3 kai1 <Autopilot>");
    assert_eq!(read(&reader, "ET五和Model三"), "E T wu3 he2 <model> san1");
}

#[test]
fn units_follow_one_another_and_cover_what_is_said() {
    let reader = reader();
    let units = reader.read("您好，ET五 很好！Hello world。");
    assert!(units.windows(2).all(|w| w[0].span.end <= w[1].span.start), "{units:?}");
    assert_eq!(units.last().map(|u| u.span.end), Some(22));
}

#[test]
fn a_bad_line_in_the_table_is_named() {
    let error = Reader::new("银行 yin2\n", "").unwrap_err();
    assert_eq!((error.line, error.problem.contains("one syllable a character")), (1, true), "{error}");
    let error = Reader::new("# comment\n行 hang\n", "").unwrap_err();
    assert_eq!((error.line, error.problem.contains("xing2")), (2, true), "{error}");
}
