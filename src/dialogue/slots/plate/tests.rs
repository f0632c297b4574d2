use super::{Plate, plate};

enum Wanted {
    Whole(&'static str),
    Part(&'static str),
    Nothing,
}
use Wanted::{Nothing, Part, Whole};

#[track_caller]
fn check(table: &[(&[&str], Wanted)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(pieces, wanted)| {
            let wanted = match wanted {
                Whole(text) => Plate::Complete((*text).into()),
                Part(text) => Plate::Part((*text).into()),
                Nothing => Plate::None,
            };
            let got = plate(pieces);
            (got != wanted).then(|| format!("{pieces:?}: {got:?} instead of {wanted:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn plates_said_at_once_are_read() {
    check(&[
        (&["沪A一二三四五"], Whole("沪A12345")),
        (&["沪AD12345"], Whole("沪AD12345")),
        (&["沪A·D12345"], Whole("沪AD12345")),
        (&["沪 A D 一二三四五"], Whole("沪AD12345")),
        (&["我的车牌是京A幺二三四五"], Whole("京A12345")),
        (&["粤B D五六七八九的车主"], Whole("粤BD56789")),
        (&["车牌是浙a八八八八八"], Whole("浙A88888")),
        (&["苏E三个八六六"], Whole("苏E88866")),
        (&["沪A的D一二三四五"], Whole("沪AD12345")),
        (&["粤B后面是D三七零八七零"], Part("粤BD370870")),
        (&["粤B后面是D三七零八七"], Whole("粤BD37087")),
        (&["车牌沪B嗯五Q三七九谢谢"], Whole("沪B5Q379")),
        (&["上海的沪A D一二三四五"], Whole("沪AD12345")),
        (&["上海A一二三四五"], Whole("沪A12345")),
        (&["我那个车牌是川A一二三四D对没错"], Whole("川A1234D")),
        (&["沪A一二三四五F"], Whole("沪A12345F")),
        (&["沪AOI二三四"], Whole("沪A01234")),
        (&["沪牌A一二三四五"], Whole("沪A12345")),
        (&["京N五Q五Q五"], Whole("京N5Q5Q5")),
        (&["京Q Q零零零零"], Whole("京QQ0000")),
    ]);
}

#[test]
fn misheard_plates_are_read_where_the_shape_fits() {
    check(&[
        (&["户A一二三四五"], Whole("沪A12345")),
        (&["护AD一二三四五"], Whole("沪AD12345")),
        (&["经A八八八八八"], Whole("京A88888")),
        (&["月B D三七零八七"], Whole("粤BD37087")),
        (&["越B一二三四五"], Whole("粤B12345")),
        (&["这A六六六六六"], Whole("浙A66666")),
        (&["折A六六六六六"], Whole("浙A66666")),
        (&["诉E一二三四五"], Whole("苏E12345")),
        (&["进A一二三四五"], Whole("晋A12345")),
        (&["今A一二三四五"], Whole("津A12345")),
        (&["沪诶一二三四五"], Whole("沪A12345")),
        (&["沪A弟一二三四五"], Whole("沪AD12345")),
        (&["沪A地一二三四五"], Whole("沪AD12345")),
        (&["沪必一二三四五"], Whole("沪B12345")),
        (&["沪A艾弗一二三四五"], Whole("沪AF12345")),
        (&["户诶幺二三四五"], Whole("沪A12345")),
        (&["沪A一二三就五"], Whole("沪A12395")),
        (&["闽FF三把四六一"], Whole("闽FF38461")),
        (&["冀CF六司一五八"], Whole("冀CF64158")),
        (&["车牌是诉ADN爸零五零"], Whole("苏ADN8050")),
        (&["蒙B已八二四三"], Whole("蒙B18243")),
        (&["沪A妖二三四五"], Whole("沪A12345")),
        (&["沪A洞二三四五"], Whole("沪A02345")),
        (&["户A"], Part("沪A")),
        (&["路B一二三四五"], Whole("鲁B12345")),
        (&["陆B一二三四五"], Whole("鲁B12345")),
        (&["记A一二三四五"], Whole("冀A12345")),
        (&["级A一二三四五"], Whole("吉A12345")),
        (&["请A一二三四五"], Whole("青A12345")),
        (&["柜A一二三四五"], Part("A12345")),
        (&["沪A一二三四五有"], Whole("沪A12345")),
        (&["沪A D一二三四吧"], Whole("沪AD1234")),
        (&["沪A一二三四酒"], Whole("沪A12349")),
    ]);
}

#[test]
fn plates_in_pieces_are_put_together() {
    check(&[
        (&["沪A", "D一二三", "四五"], Whole("沪AD12345")),
        (&["沪A D", "一二三四五"], Whole("沪AD12345")),
        (&["月B", "三七零", "八七"], Whole("粤B37087")),
        (&["沪A D一二三四", "五"], Whole("沪AD12345")),
        (&["沪A D一二", "D一二三四五"], Whole("沪AD12345")),
        (&["A D一二三四五", "沪"], Whole("沪AD12345")),
        (&["A D 1 2 3 4 5", "上海的"], Whole("沪AD12345")),
        (&["沪A一二三四五", "沪B一二三四五"], Whole("沪B12345")),
        (&["沪"], Part("沪")),
        (&["沪A"], Part("沪A")),
        (&["沪A一二三"], Part("沪A123")),
        (&["D一二三四五"], Part("D12345")),
        (&["沪A", "嗯等一下", "一二三四五"], Whole("沪A12345")),
    ]);
}

#[test]
fn corrections_replace_what_was_said() {
    check(&[
        (&["沪A一二三四五不对是沪A一二三四六"], Whole("沪A12346")),
        (&["沪A一二三四五", "不对最后一位是七"], Whole("沪A12347")),
        (&["沪A一二三四五", "不对后三位是七八九"], Whole("沪A12789")),
        (&["沪A D一二三四五", "不是D是B"], Whole("沪AB12345")),
        (&["京A不是京B"], Part("京A")),
        (&["是P二不是P三"], Part("P2")),
        (&["我刚才报错了车牌应该是沪AD七W四三六"], Whole("沪AD7W436")),
        (&["车牌沪D七五九九三嗯最后一位我再看一眼"], Whole("沪D75993")),
        (&["沪A D一二三四五", "是B不是D"], Whole("沪AB12345")),
        (&["沪A D一二三四五", "不是弟是必"], Whole("沪AB12345")),
        (&["沪A一二三四五", "错了应该是京A一二三四五"], Whole("京A12345")),
        (&["shanghai a one two three four five", "no sorry b one two three four six"], Whole("沪B12346")),
    ]);
}

#[test]
fn english_callers_are_understood() {
    check(&[
        (&["my plate is A D one two three four five"], Part("AD12345")),
        (&["Shanghai A D 1 2 3 4 5"], Whole("沪AD12345")),
        (&["hu A D 12345"], Whole("沪AD12345")),
        (&["A for apple, D as in david, one two three four five"], Part("AD12345")),
        (&["beijing a double eight triple six"], Whole("京A88666")),
        (&["guangdong bravo delta one two three four five"], Whole("粤BD12345")),
        (&["B one twenty three forty five", "zhejiang"], Whole("浙B12345")),
        (&["b oh two three four five"], Part("B02345")),
        (&["the plate number is n one four one i think"], Part("N141")),
        (&["the plate number is four seven two zero one six i think"], Part("472016")),
    ]);
}

#[test]
fn what_is_no_plate_is_none() {
    let table: Vec<(&[&str], Wanted)> = [
        &[""] as &[&str],
        &["等一下"],
        &["不知道"],
        &["我的车在京东买的"],
        &["我在上海出差"],
        &["今天星期三"],
        &["八千二百公里"],
        &["我的电话是幺三八零零幺三八零零零"],
        &["这是新车还没上牌"],
        &["一会儿再说"],
        &["i have a car"],
        &["hold on please"],
        &["what do you mean"],
        &["ok"],
        &["只有六七成吧"],
        &["大概三四天"],
        &["SOS怎么用"],
        &["BMS要不要升级"],
        &["头发一把一把地掉"],
        &["take us to a hotel"],
        &["i called ten minutes ago"],
    ]
    .into_iter()
    .map(|pieces| (pieces, Nothing))
    .collect();
    check(&table);
}
