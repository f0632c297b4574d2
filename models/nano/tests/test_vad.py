"""The voice detector: what can be checked without torch and without a voice.

python -m unittest discover -s models/nano/tests -t models/nano
"""

import tempfile
import unittest
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from nightline_nano import vad

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "models" / "nightline-vad.bin"


class Network(unittest.TestCase):
    def setUp(self):
        self.weights = vad.read(MODEL)
        self.line = wavfile.read(ROOT / "src/media/vad/testdata/line.wav")[1]

    def test_it_answers_what_the_rust_test_expects(self):
        wanted = np.loadtxt(ROOT / "src/media/vad/testdata/line.txt")
        found = vad.probabilities(self.weights, self.line[None])[0]
        self.assertLess(abs(found - wanted).max(), 1e-4)

    def test_nothing_behind_the_frame_is_looked_at(self):
        cut = self.line.copy()
        cut[100 * vad.FRAME :] = 0
        whole, half = vad.probabilities(self.weights, np.stack([self.line, cut]))
        self.assertLess(abs(whole - half)[:100].max(), 1e-6)
        self.assertGreater(abs(whole - half)[100:].max(), 0.1)

    def test_the_file_survives_and_a_damaged_one_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "vad.bin")
            vad.write(path, self.weights)
            data = path.read_bytes()
            self.assertEqual(data, MODEL.read_bytes())
            for damaged, why in ((data[:-2], "bytes instead of"), (b"RIFF" + data[4:], "export it anew"), (data + b"!!", "bytes instead of")):
                path.write_bytes(damaged)
                with self.assertRaisesRegex(ValueError, why):
                    vad.read(path)
            with self.assertRaisesRegex(ValueError, "out_bias"):
                vad.write(path, self.weights | {"out_bias": np.array([np.nan], np.float32)})


class Truth(unittest.TestCase):
    def test_a_short_gap_belongs_to_the_speech_and_a_pause_does_not(self):
        tone = lambda frames: np.sin(np.arange(160 * frames) * 0.3)
        quiet = lambda frames: np.zeros(160 * frames)
        on = vad.truth(np.concatenate([quiet(3), tone(10), quiet(4), tone(10), quiet(20), tone(5)]))
        self.assertEqual("".join("·#"[int(v)] for v in on), "···" + "#" * 24 + "·" * 20 + "#" * 5)


class Scores(unittest.TestCase):
    def setUp(self):
        self.said = np.zeros((1, 200), bool)
        self.said[0, 50:100] = True

    def test_a_perfect_detector_hears_after_three_frames(self):
        score = vad.score(self.said.astype(np.float32), self.said)
        self.assertEqual((score.area, score.true, score.false), (1, 1, 0))
        self.assertEqual((score.onsets, score.missed, score.endings, score.false_starts), ([60], 0, [0], 0))

    def test_lateness_false_starts_and_misses_are_counted(self):
        late = np.roll(self.said, 4, 1).astype(np.float32)
        late[0, 150:160] = 1
        score = vad.score(late, self.said)
        self.assertEqual((score.onsets, score.missed, score.endings, score.false_starts), ([140], 0, [80], 1))
        deaf = vad.score(np.zeros((1, 200), np.float32), self.said)
        self.assertEqual((deaf.onsets, deaf.missed, deaf.area), ([], 1, 0.5))

    def test_a_line_where_nobody_speaks_has_a_false_rate_only(self):
        score = vad.score(np.full((1, 50), 0.6, np.float32), np.zeros((1, 50), bool))
        self.assertTrue(np.isnan(score.area))
        self.assertEqual((score.false, score.false_starts), (1, 1))
        self.assertEqual(score.row(), "– –/1.00 | – | – | 60.0")


if __name__ == "__main__":
    unittest.main()
