"""Checks the labelled turns in fixtures/turns: what is there, that labels lie where the sound is, and that the splits share nothing.

python -m unittest discover -s models/nano/tests -t models/nano
"""

import json
import re
import shutil
import subprocess
import unittest
from collections import Counter
from pathlib import Path

import numpy as np

TURNS = Path(__file__).resolve().parents[3] / "fixtures" / "turns"
SPLITS = "fit", "test"
# The least that the test split has of each kind.
LEAST = dict(complete_short=25, complete_long=25, continued=28, hesitation=28, phone_pieces=24, phone_whole=8, plate_pieces=10, plate_whole=4)
LEAST |= dict(number_pieces=10, date=12, yes_no=18, slow=8, fast=8, correction=8)
LEAST |= dict(interrupt=32, backchannel=40, cough=18, echo=16, noise=16, side_talk=10)


def load(split):
    return [json.loads(line) for line in (TURNS / f"{split}.jsonl").read_text("utf-8").splitlines()]


def decode(octets):
    """G.711 A-law to floats in (-1, 1)."""
    code = np.frombuffer(octets, np.uint8) ^ 0x55
    segment, mantissa = (code >> 4 & 7).astype(int), (code & 15).astype(int)
    magnitude = np.where(segment == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(segment, 1) - 1) * 8
    return np.where(code & 0x80, magnitude, -magnitude) / 32768


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


class Labels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.items = {split: load(split) for split in SPLITS}
        cls.labelled = {split: [i for i in items if i["group"] in ("turn", "barge_in")] for split, items in cls.items.items()}

    def test_the_test_split_has_enough_of_every_kind(self):
        kinds = Counter(i["kind"] for i in self.labelled["test"])
        groups = Counter(i["group"] for i in self.labelled["test"])
        self.assertGreaterEqual(groups["turn"], 220)
        self.assertGreaterEqual(groups["barge_in"], 120)
        self.assertGreaterEqual(groups.total(), 340)
        for kind, least in LEAST.items():
            self.assertGreaterEqual(kinds[kind], least, kind)
        english = sum(i["language"] == "en" for i in self.labelled["test"]) / groups.total()
        self.assertTrue(0.1 <= english <= 0.15, f"{english:.0%} of the items are English")

    def test_items_follow_each_other_without_gaps(self):
        for split, items in self.items.items():
            at = 0
            for item in items:
                self.assertEqual(item["at"], at, item["id"])
                at += item["length"]
            self.assertEqual(len({i["id"] for i in items}), len(items), f"{split}: an id is there twice")

    def test_every_item_has_room_before_and_after(self):
        for item in self.labelled["fit"] + self.labelled["test"]:
            with self.subTest(item["id"]):
                spans = item["stretches"] + item["sounds"]
                for a, b in zip(spans, spans[1:]):
                    self.assertLess(a["start"], a["end"])
                    self.assertGreaterEqual(b["start"] - a["end"], 1600, "a pause is shorter than 0.2 s")
                    self.assertLessEqual(b["start"] - a["end"], 13_600, "a pause is longer than 1.7 s")
                self.assertEqual(bool(spans), item["kind"] != "echo")
                if spans:
                    self.assertGreaterEqual(spans[0]["start"], 4000)
                    self.assertEqual(item["end"], spans[-1]["end"])
                self.assertGreaterEqual(item["length"] - item["end"], 20_000)
                self.assertEqual(item["length"] % 160, 0)
                self.assertEqual(item["group"] == "barge_in", bool(item["bot"]))
                self.assertEqual(item["truth"], "turn" if item["group"] == "turn" else item["kind"])
                for bot in item["bot"]:
                    self.assertTrue(0 <= bot["start"] < bot["end"] <= item["length"])
                    if spans:
                        self.assertGreater(bot["end"], spans[0]["start"], "the bot is silent when the caller begins")

    def test_what_the_bot_says_is_in_the_file(self):
        for split, items in self.items.items():
            prompts = {i["id"]: i for i in items if i["group"] == "prompt"}
            for item in self.labelled[split]:
                for bot in item["bot"]:
                    self.assertLessEqual(bot["end"] - bot["start"], prompts[bot["prompt"]]["length"], item["id"])
                    self.assertEqual(prompts[bot["prompt"]]["language"], item["language"], item["id"])

    def test_the_splits_share_no_voice(self):
        voices = {split: {i["voice"] for i in items} - {None} for split, items in self.labelled.items()}
        self.assertFalse(voices["fit"] & voices["test"])
        self.assertGreaterEqual(len(voices["test"]), 11)

    def test_the_splits_share_no_sentence(self):
        """Replies, fillers and openings of up to three syllables are too few to differ; so is what announces a number."""
        said = {}
        for split, items in self.items.items():
            texts = [s["text"] for i in items for s in i.get("stretches", [i]) if "text" in s]
            said[split] = {t for t in texts if len(t.split()) > 3 or len(re.findall("[\u4e00-\u9fffA-Z]", t)) > 3} - self.common()
        self.assertEqual(said["fit"] & said["test"], set())

    @staticmethod
    def common():
        return {"好的好的", "我想问一下", "我想问一下那个", "我的意思是"}

    def test_a_phone_number_has_eleven_digits(self):
        for item in self.labelled["fit"] + self.labelled["test"]:
            if item["kind"].startswith("phone") and item["language"] == "zh":
                digits = re.findall("[零一二三四五六七八九幺]", "".join(s["text"] for s in item["stretches"]))
                self.assertEqual(len(digits), 11, item["id"])


@unittest.skipUnless(shutil.which("zstd"), "zstd is not installed")
class Sound(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sound, cls.items = {}, {}
        for split in SPLITS:
            done = subprocess.run(["zstd", "-dc", str(TURNS / f"{split}.al.zst")], capture_output=True, check=True)
            cls.sound[split], cls.items[split] = done.stdout, load(split)

    def each(self, group=None):
        for split in SPLITS:
            for item in self.items[split]:
                if group in (None, item["group"]):
                    yield item, decode(self.sound[split][item["at"] : item["at"] + item["length"]])

    def test_the_file_ends_with_its_last_item(self):
        for split in SPLITS:
            last = self.items[split][-1]
            self.assertEqual(len(self.sound[split]), last["at"] + last["length"])

    def test_pauses_are_as_silent_as_the_line(self):
        """Between stretches there is what is before and after the turn, and nothing else; 0.1 s are left for a voice to die away."""
        for item, x in self.each("turn"):
            spans = item["stretches"]
            outside = np.concatenate([x[:3800], x[item["end"] + 800 :]])
            speech = np.concatenate([x[s["start"] : s["end"]] for s in spans])
            with self.subTest(item["id"]):
                for a, b in zip(spans, spans[1:]):
                    pause = x[a["end"] + 800 : b["start"] - 80]
                    self.assertLess(rms(pause), 3 * rms(outside) + 2e-3)
                    self.assertLess(rms(pause), rms(speech) / 2.5)

    def test_a_line_is_as_noisy_as_its_label_says(self):
        for item, x in self.each("turn"):
            ratio = item["channel"]["snr_db"]
            speech = np.concatenate([x[s["start"] : s["end"]] for s in item["stretches"]])
            found = 20 * np.log10(rms(speech) / rms(x[item["end"] + 800 :]))
            with self.subTest(item["id"]):
                if ratio is None:
                    self.assertGreater(found, 25)
                else:
                    self.assertLess(abs(found - ratio), 6 if ratio < 40 else 20)

    def test_speech_begins_and_ends_where_the_label_says(self):
        """On lines with at least 40 dB: loud within 60 ms inside the label, and at least 15 dB quieter 0.1 s outside it."""
        for item, x in self.each("turn"):
            if item["channel"]["snr_db"] in (12, 20) or item["channel"]["loss"]:
                continue
            for s in item["stretches"]:
                with self.subTest(item["id"], text=s["text"]):
                    loud = rms(x[s["start"] : s["end"]])
                    self.assertGreater(rms(x[s["end"] - 480 : s["end"]]), loud / 40)
                    self.assertGreater(rms(x[s["start"] : s["start"] + 480]), loud / 40)
                    self.assertLess(rms(x[s["end"] + 800 : s["end"] + 960]), loud / 5)
                    self.assertLess(rms(x[s["start"] - 960 : s["start"] - 800]), loud / 5)

    def test_an_echo_has_the_loss_of_its_label_and_is_not_in_the_recording(self):
        """What was sent, convolved with the path, times the gain; what was recorded beside it is the caller and the noise."""
        for item, x in self.each("barge_in"):
            if not item["echo"]:
                continue
            echo, split = item["echo"], item["id"].split("-")[0]
            there = {i["id"]: i for i in self.items[split]}
            played, response = (
                decode(self.sound[split][i["at"] : i["at"] + i["length"]]) for i in (there[item["bot"][0]["prompt"]], there[echo["path"]])
            )
            back = np.convolve(played, response) * echo["gain"]
            with self.subTest(item["id"]):
                self.assertLess(abs(20 * np.log10(rms(played) / rms(back)) - echo["loss_db"]), 0.2)
                self.assertTrue(12 <= echo["loss_db"] <= 30)
                if item["channel"]["snr_db"] is None and item["kind"] == "echo":
                    self.assertLess(rms(x), 0.001)


if __name__ == "__main__":
    unittest.main()
