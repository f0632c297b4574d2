//! Units of measure as written after a number, and the words that count things.

/// Written form and how it is read in Mandarin and in English; longer ones first where one begins another.
const UNITS: &[(&str, &str, &str)] = &[
    ("kWh/100km", "千瓦时每百公里", "kilowatt hours per hundred kilometers"),
    ("L/100km", "升每百公里", "liters per hundred kilometers"),
    ("Wh/km", "瓦时每公里", "watt hours per kilometer"),
    ("Wh/kg", "瓦时每公斤", "watt hours per kilogram"),
    ("km/h", "公里每小时", "kilometers per hour"),
    ("m/s", "米每秒", "meters per second"),
    ("r/min", "转每分钟", "revolutions per minute"),
    ("kWh", "千瓦时", "kilowatt hours"),
    ("KWh", "千瓦时", "kilowatt hours"),
    ("mAh", "毫安时", "milliamp hours"),
    ("MPa", "兆帕", "megapascals"),
    ("Mpa", "兆帕", "megapascals"),
    ("kPa", "千帕", "kilopascals"),
    ("kpa", "千帕", "kilopascals"),
    ("hPa", "百帕", "hectopascals"),
    ("N·m", "牛米", "newton meters"),
    ("GHz", "吉赫", "gigahertz"),
    ("MHz", "兆赫", "megahertz"),
    ("kHz", "千赫", "kilohertz"),
    ("rpm", "转每分钟", "revolutions per minute"),
    ("bar", "巴", "bar"),
    ("Bar", "巴", "bar"),
    ("min", "分钟", "minutes"),
    ("N.m", "牛米", "newton meters"),
    ("dB", "分贝", "decibels"),
    ("kW", "千瓦", "kilowatts"),
    ("KW", "千瓦", "kilowatts"),
    ("km", "公里", "kilometers"),
    ("KM", "公里", "kilometers"),
    ("Km", "公里", "kilometers"),
    ("Wh", "瓦时", "watt hours"),
    ("Ah", "安时", "amp hours"),
    ("Nm", "牛米", "newton meters"),
    ("Hz", "赫兹", "hertz"),
    ("kg", "公斤", "kilograms"),
    ("KG", "公斤", "kilograms"),
    ("cm", "厘米", "centimeters"),
    ("mm", "毫米", "millimeters"),
    ("ml", "毫升", "milliliters"),
    ("mL", "毫升", "milliliters"),
    ("m²", "平方米", "square meters"),
    ("m³", "立方米", "cubic meters"),
    ("ms", "毫秒", "milliseconds"),
    ("°C", "度", "degrees"),
    ("°F", "华氏度", "degrees Fahrenheit"),
    ("℃", "度", "degrees"),
    ("℉", "华氏度", "degrees Fahrenheit"),
    ("°", "度", "degrees"),
    ("L", "升", "liters"),
    ("h", "小时", "hours"),
    ("m", "米", "meters"),
    ("s", "秒", "seconds"),
    ("g", "克", "grams"),
    ("t", "吨", "tons"),
    ("V", "伏", "volts"),
    ("A", "安", "amps"),
    ("W", "瓦", "watts"),
];

/// A unit found behind a number.
pub(super) struct Unit {
    /// Just behind it.
    pub end: usize,
    /// In Mandarin.
    pub zh: &'static str,
    /// In English.
    pub en: &'static str,
}

impl Unit {
    /// Degrees of any scale: a negative number is 零下.
    pub fn is_temperature(&self) -> bool {
        self.zh.ends_with('度')
    }
}

/// The unit at `at`, if one is there; one space before it is allowed. A unit in letters ends where the letters end.
pub(super) fn unit_at(c: &[char], at: usize) -> Option<Unit> {
    let start = if c.get(at) == Some(&' ') { at + 1 } else { at };
    UNITS.iter().find_map(|&(written, zh, en)| {
        let len = written.chars().count();
        let here = c.get(start..start + len)?;
        let ends = !c.get(start + len).is_some_and(char::is_ascii_alphanumeric);
        (here.iter().copied().eq(written.chars()) && (ends || !written.is_ascii())).then_some(Unit {
            end: start + len,
            zh,
            en,
        })
    })
}

/// Words after a 2 that make it 两 (两公里, 两个, 两点), as against 二月, 二楼, 二号.
pub(super) fn counts(c: &[char], at: usize) -> bool {
    const COUNTED: &str = "个次天年小公千米升位辆台种条层遍周星倍万亿块元分秒点件家只张把段项部套双对份斤吨度兆巴伏安瓦帕名人口句字步圈趟道门扇盏杯瓶桶箱包颗片笔组类样处场轮款厘毫克格节根回下页排座间头晚夜刻平立";
    let at = if c.get(at) == Some(&' ') { at + 1 } else { at };
    let Some(&first) = c.get(at) else { return false };
    let ordinal =
        (first == '年' && c.get(at + 1) == Some(&'级')) || (first == '星' && c.get(at + 1) != Some(&'期'));
    COUNTED.contains(first) && !ordinal
}
