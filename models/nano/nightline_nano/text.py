"""What callers say: templates with alternatives and slots, clauses, words at random, digits.

Grammar of a line in `text/`: `(a|b|)` draws one, `{slot}` draws from a list or a function below. `@name = a、b` defines a list.
Whole templates are held out of training, and so is one wording in forty of the others; which ones follows from their hash.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "text"
DIGITS = "零一二三四五六七八九"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS_EN = "zero one two three four five six seven eight nine".split()
LONGEST = 26


def held_out(text, one_in):
    return int(hashlib.sha1(text.encode()).hexdigest(), 16) % one_in == 0


def is_held_template(template):
    return held_out("template " + template, 15)


def is_held_wording(text):
    return held_out(text, 40)


def spell(r, number, telephone=False):
    """Digit by digit; on the telephone one is mostly 幺."""
    return "".join("幺" if telephone and d == "1" and r.random() < 0.75 else DIGITS[int(d)] for d in number)


def numeral(n):
    if n < 10:
        return DIGITS[n]
    if n < 20:
        return "十" + (DIGITS[n - 10] if n > 10 else "")
    if n < 100:
        return DIGITS[n // 10] + "十" + (DIGITS[n % 10] if n % 10 else "")
    for unit, name in ((10_000, "万"), (1000, "千"), (100, "百")):
        if n >= unit:
            rest = n % unit
            if rest == 0:
                tail = ""
            elif rest < unit // 10:
                tail = "零" + numeral(rest)
            else:
                tail = ("一" if 10 <= rest < 20 else "") + numeral(rest)
            return numeral(n // unit) + name + tail


def liang(text):
    return text.replace("二百", "两百").replace("二千", "两千").replace("二万", "两万")


def some_digits(r, n):
    return "".join(r.choice("0123456789") for _ in range(n))


SLOTS = {}


def slot(function):
    SLOTS[function.__name__] = function
    return function


@slot
def phone(r):
    return spell(r, "1" + r.choice("3456789") + some_digits(r, 9), True)


@slot
def phone4(r):
    return spell(r, some_digits(r, 4), True)


@slot
def digs(r):
    return spell(r, some_digits(r, r.randint(3, 9)), r.random() < 0.4)


@slot
def code(r):
    return spell(r, some_digits(r, r.choice([4, 6, 6])), r.random() < 0.5)


@slot
def plate(r):
    """Province, city's letter and five characters; a new-energy car has a D or an F before them."""
    rest = "".join(r.choice("0123456789") if r.random() < 0.8 else r.choice(LETTERS) for _ in range(5))
    head = r.choice("京沪粤浙苏川渝津鄂湘鲁豫冀皖闽赣陕晋辽吉黑桂琼贵云甘青蒙宁新藏") + r.choice("ABCDEFG") + r.choice(["", "D", "D", "F"])
    return head + "".join(DIGITS[int(c)] if c.isdigit() else c for c in rest)


@slot
def letters(r):
    return "".join(r.choice(LETTERS + "IO") for _ in range(r.randint(1, 4)))


@slot
def hour(r):
    part = r.choice(["早上", "上午", "中午", "下午", "晚上", "", "", "明早", "傍晚"])
    clock = r.choice("一 两 三 四 五 六 七 八 九 十 十一 十二".split()) + "点"
    return part + clock + r.choice(["", "", "半", "钟", "左右", "一刻", "二十", "三刻", "以后", "之前", "四十", "十分"])


@slot
def day(r):
    named = (
        "今天 明天 后天 大后天 昨天 前天 周一 周二 周三 周四 周五 周六 周日 星期一 星期二 星期三 星期四 星期五 星期六 星期天 礼拜一 礼拜三 "
        "礼拜五 下周一 下周二 下周三 下周四 下周五 下周六 这周末 下周末 上周 月底"
    ).split()
    dated = [
        f"下个月{numeral(r.randint(1, 28))}号",
        f"{numeral(r.randint(1, 31))}号",
        f"{numeral(r.randint(1, 12))}月{numeral(r.randint(1, 28))}{r.choice('号日')}",
    ]
    return r.choice(named + dated * 2)


@slot
def km(r):
    n = r.choice([r.randint(3, 99) * 10, r.randint(11, 99), r.randint(1, 12) * 1000, r.randint(1, 15) * 10_000, r.randint(2, 9) * 100])
    return liang(numeral(n)) + "公里"


@slot
def pct(r):
    return "百分之" + numeral(r.randint(1, 100))


@slot
def money(r):
    n = r.choice(
        [
            r.randint(2, 99) * 10,
            r.randint(1, 9) * 100,
            r.randint(11, 99) * 100,
            r.randint(1, 9) * 1000,
            r.randint(8, 300),
            r.randint(1, 30) * 10_000,
        ]
    )
    return liang(numeral(n)) + r.choice(["块", "块钱", "元", "元"])


@slot
def n1(r):
    return r.choice("一 两 三 四 五 六 七 八 九 十 十几 二十 好几 三十 十五".split())


@slot
def n0(r):
    return numeral(r.randint(0, 31))


@slot
def deg(r):
    return r.choice(["零下", "", ""]) + numeral(r.randint(3, 42)) + "度"


@slot
def bigno(r):
    return numeral(r.randint(0, 9999))


@slot
def digits_en(r):
    return " ".join("oh" if d == 0 and r.random() < 0.3 else DIGITS_EN[d] for d in r.choices(range(10), k=r.randint(3, 11)))


@slot
def number_en(r):
    teens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()

    def below_hundred(n):
        if n < 20:
            return (DIGITS_EN + teens)[n]
        return tens[n // 10 - 2] + (" " + DIGITS_EN[n % 10] if n % 10 else "")

    n = r.choice([r.randint(1, 20), r.randint(1, 99), r.randint(1, 9) * 100 + r.choice([0, 0, r.randint(1, 99)])])
    if n < 100:
        return below_hundred(n)
    return DIGITS_EN[n // 100] + " hundred" + (" and " + below_hundred(n % 100) if n % 100 else "")


@slot
def day_en(r):
    days = "today tomorrow tonight monday tuesday wednesday thursday friday saturday sunday".split()
    return r.choice(days + ["next week", "this weekend", "next " + r.choice(days[3:])])


@slot
def time_en(r):
    clock = r.choice("one two three four five six seven eight nine ten eleven twelve".split())
    return r.choice(["", "half past ", "quarter to "]) + clock + r.choice(["", " o'clock", " in the morning", " p m", " a m", " thirty"])


@slot
def money_en(r):
    return number_en(r) + r.choice([" yuan", " dollars", ""])


@slot
def plate_en(r):
    return " ".join(r.choice("abcdefghjklmnpqrstuvwxyz") if r.random() < 0.4 else r.choice(DIGITS_EN) for _ in range(r.randint(4, 7)))


def read(path):
    """Templates of one file, and its lists."""
    templates, lists = [], {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("@"):
            name, items = line[1:].split("=", 1)
            lists[name.strip()] = [item.strip() for item in re.split("[、,]", items)]
        elif line:
            templates.append(line)
    return templates, lists


class Source:
    """Draws sentences. `clauses` is an optional file of natural clauses, one a line."""

    def __init__(self, folder=HERE, clauses=None):
        folder = Path(folder)
        _, self.lists = read(folder / "lists.txt")
        self.lists["hi"] += [""] * 8
        self.templates = {}
        groups = {
            "hotline": sorted((folder / "hotline").glob("*.txt")),
            "general": sorted(folder.glob("general*.txt")),
            "english": sorted(folder.glob("english*.txt")),
        }
        for kind, paths in groups.items():
            found = {}
            for path in paths:
                templates, lists = read(path)
                self.lists |= lists
                found |= dict.fromkeys(templates)
            self.templates[kind, False] = [t for t in found if not is_held_template(t)]
            self.templates[kind, True] = [t for t in found if is_held_template(t)]
        lines = Path(clauses).read_text().split("\n") if clauses else []
        lines = [line for line in lines if re.fullmatch("[\u4e00-\u9fff]{2,22}", line)]
        self.clauses = {held: [c for c in lines if held_out("clause " + c, 40) == held] for held in (False, True)}

    def expand(self, template, r):
        for _ in range(6):
            template = re.sub(r"\(([^()]*)\)", lambda m: _choose(m.group(1), r), template)
            template = re.sub(r"\{(\w+)\}", lambda m: self._slot(m.group(1), r), template)
            if "{" not in template and "(" not in template:
                break
        return template

    def _slot(self, name, r):
        return SLOTS[name](r) if name in SLOTS else r.choice(self.lists[name])

    def draw(self, r, kind, held=False):
        """(language, text) of `kind`: hotline, general, clause, words, digits, phone, english. `held` draws from whole templates or
        clauses that are never trained."""
        while True:
            language = "en" if kind == "english" else "zh"
            if kind == "clause":
                text = r.choice(self.clauses[held])
            elif kind == "words":
                text = _words(r)
            elif kind == "phone":
                text = phone(r)
            elif kind == "digits":
                text = r.choice([phone, phone, phone, plate, digs, code, letters])(r)
            else:
                text = self.expand(r.choice(self.templates[kind, held]), r)
            if language == "en":
                text = " " + re.sub(" +", " ", text).strip().lower()
                if 2 < len(text) < 80:
                    return language, text
                continue
            text = re.sub(r"\s+", "", text)
            if kind == "hotline" and not held and r.random() < 0.1:
                text = _hesitate(text, r)
            if 1 <= len(text) <= LONGEST:
                return language, text


def _choose(group, r):
    options = group.split("|")
    return r.choice(options) if len(options) > 1 else (group if r.random() < 0.5 else "")


def _hesitate(text, r):
    """A filler at the start or within, or a false start."""
    filler = r.choice("嗯 啊 那个 呃 就是 哎 这个 然后".split())
    kind, at = r.random(), r.randint(0, min(4, len(text) - 1))
    if re.search("[A-Z]", text) or kind < 0.4:
        return filler + text
    if kind < 0.65:
        return text[:at] + filler + text[at:]
    return text[: max(1, at)] + r.choice(["", "", filler]) + text


@cache
def _dictionary():
    """Frequent words of jieba's list, of frequent characters, with flattened weights."""
    import jieba

    rows = []
    for line in (Path(jieba.__file__).parent / "dict.txt").read_text().splitlines():
        word, count, *_ = line.split()
        if re.fullmatch("[\u4e00-\u9fff]{1,4}", word):
            rows.append((int(count), word))
    rows.sort(reverse=True)
    weight = {}
    for count, word in rows:
        for c in word:
            weight[c] = weight.get(c, 0) + count
    frequent = set(sorted(weight, key=weight.get, reverse=True)[:2400])
    words = [word for _, word in rows[:25_000] if set(word) <= frequent]
    return words, [(30 + i) ** -0.45 for i in range(len(words))]


def frequent_characters():
    return sorted({c for word in _dictionary()[0] for c in word})


def _words(r):
    words, weights = _dictionary()
    return "".join(r.choices(words, weights, k=r.randint(1, 5)))
