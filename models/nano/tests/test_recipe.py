"""What can be checked without torch and without a voice: grammar, numbers, tokens, quantisation. `make test-recipe` runs it.

python -m unittest discover -s models/nano/tests -t models/nano
"""

import random
import re
import tempfile
import unittest
from pathlib import Path

import numpy as np

from nightline_nano import curve, export, text, tokens


class Grammar(unittest.TestCase):
    def setUp(self):
        self.source = text.Source()

    def test_every_template_expands_to_speakable_text(self):
        r = random.Random(1)
        for (kind, _), templates in self.source.templates.items():
            for template in templates:
                with self.subTest(template=template):
                    said = self.source.expand(template, r)
                    self.assertNotRegex(said, r"[(){}|=@0-9，。？！]")
                    if kind != "english":
                        self.assertNotRegex(said, "[a-z]")

    def test_templates_and_wordings_are_held_out_and_stay_so(self):
        trained, held = self.source.templates["hotline", False], self.source.templates["hotline", True]
        self.assertGreater(len(held), len(trained) / 25)
        self.assertFalse(set(trained) & set(held))
        self.assertTrue(all(text.is_held_template(t) for t in held))

    def test_the_same_seed_draws_the_same_sentences(self):
        drawn = [[self.source.draw(random.Random(5), kind) for kind in ("hotline", "digits", "english")] for _ in range(2)]
        self.assertEqual(drawn[0], drawn[1])


class Numbers(unittest.TestCase):
    def test_numerals_are_spoken_as_people_do(self):
        said = {0: "零", 10: "十", 12: "十二", 20: "二十", 105: "一百零五", 110: "一百一十", 215: "二百一十五", 1005: "一千零五"}
        said |= {1050: "一千零五十", 2300: "二千三百", 10_000: "一万", 10_500: "一万零五百", 120_000: "十二万", 350_000: "三十五万"}
        for number, words in said.items():
            self.assertEqual(text.numeral(number), words)

    def test_a_telephone_number_has_eleven_digits(self):
        for seed in range(50):
            self.assertRegex(text.phone(random.Random(seed)), "^[零一二三四五六七八九幺]{11}$")


class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tokens.fetch()

    def test_text_survives(self):
        for sentence in ("沪AD一二三四五", "我的APP打不开", " there's a red light", "续航掉得很厉害"):
            self.assertEqual(tokens.decode(tokens.encode(sentence)), sentence)

    def test_the_vocabulary_knows_its_own_characters(self):
        vocabulary = tokens.Vocabulary()
        self.assertGreater(len(vocabulary.characters), 2500)
        self.assertTrue(vocabulary.knows("".join(sorted(vocabulary.characters)), []))
        self.assertEqual(len(vocabulary.used), len(set(vocabulary.used)))


class Quantisation(unittest.TestCase):
    def unpack_q8_0(self, data):
        return export.unpack(8, data).reshape(-1, 32)

    def unpack_q5_1(self, data):
        return export.unpack(7, data).reshape(-1, 32)

    def test_numbers_survive_within_half_a_step(self):
        rows = np.random.default_rng(3).standard_normal((8, 64)).astype(np.float32)
        blocks = rows.reshape(-1, 32)
        spread = blocks.max(1, keepdims=True) - blocks.min(1, keepdims=True)
        self.assertTrue((abs(self.unpack_q8_0(export._q8_0(rows)) - blocks) <= abs(blocks).max(1, keepdims=True) / 127 * 0.6).all())
        self.assertTrue((abs(self.unpack_q5_1(export._q5_1(rows)) - blocks) <= spread / 31 * 0.56 + 2e-3).all())

    def test_constant_blocks_survive(self):
        rows = np.full((1, 32), -60.0, np.float32)
        rows[0, 1:] = 0
        self.assertAlmostEqual(float(self.unpack_q8_0(export._q8_0(rows))[0, 0]), -60, delta=0.05)
        zeros = np.zeros((2, 32), np.float32)
        self.assertTrue((self.unpack_q5_1(export._q5_1(zeros)) == 0).all())

    def test_only_matrices_are_quantised(self):
        import struct

        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "a"), Path(folder, "b")
            out = struct.pack("12i", 0x67676D6C, 51_865, 8, 32, 1, 1, 8, 32, 1, 1, 2, 1) + struct.pack("2i", 2, 3)
            out += np.zeros(6, np.float32).tobytes() + struct.pack("2i", 1, 2) + b"ab"
            for label, kind, shape in ((b"m", 1, (32, 2)), (b"conv", 1, (3, 4, 2)), (b"bias", 0, (32,))):
                raw = np.arange(np.prod(shape)).astype(np.float16 if kind else np.float32).tobytes()
                out += struct.pack(f"{3 + len(shape)}i", len(shape), len(label), kind, *shape) + label + raw
            source.write_bytes(out)
            export.quantise(source, target, "q8_0")
            data = target.read_bytes()
            self.assertEqual(struct.unpack("12i", data[:48])[11], 2007)
            self.assertEqual(len(data), len(out) - 128 + 2 * 34)
            tensors = export.read(target)
            self.assertEqual({name: a.shape for name, a in tensors.items()}, {"m": (2, 32), "conv": (2, 4, 3), "bias": (32,)})
            self.assertTrue(np.allclose(tensors["m"].ravel(), np.arange(64), atol=0.3))


class Recordings(unittest.TestCase):
    def test_what_the_recordings_say_is_never_trained(self):
        fixtures = Path(__file__).resolve().parents[3] / "fixtures"
        said = {s for path in fixtures.glob("*.toml") for s in re.findall(r'text\s*=\s*"([^"]+)"', path.read_text())}
        from nightline_nano import say

        self.assertTrue(said)
        self.assertLessEqual(said, say.excluded())



class Curve(unittest.TestCase):
    def test_minutes_add_up_over_runs_and_errors_stand_where_they_were_measured(self):
        losses, errors = curve.read(tokens.HERE / "learning.jsonl")
        minutes = [minute for minute, _, _ in losses]
        self.assertEqual(minutes, sorted(minutes))
        self.assertGreater(len(errors), 2)
        self.assertEqual(errors[0][0], 0)
        self.assertLess(errors[-1][1]["unseen_sentence"], errors[0][1]["unseen_sentence"])


if __name__ == "__main__":
    unittest.main()
