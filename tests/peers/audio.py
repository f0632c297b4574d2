"""WAV files of 8 kHz mono 16-bit: joining, and hearing whether there is a voice."""

import array
import struct
import time
import tomllib
import wave
from pathlib import Path

RATE = 8000
FRAME = 160
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
# Mean amplitude of a 20 ms frame above which it holds a voice: -44 dB below full scale.
LOUD = 200


def utterance(fixture, number=0):
    """Samples of one utterance of a recorded caller."""
    script = tomllib.loads((FIXTURES / f"{fixture}.toml").read_text("utf-8"))
    step = [step for step in script["step"] if "say" in step][number]
    with wave.open(str(FIXTURES / f"{fixture}.wav")) as wav:
        wav.setpos(step["from_ms"] * RATE // 1000)
        return wav.readframes((step["to_ms"] - step["from_ms"]) * RATE // 1000)


def write(path, samples, silence_before=0.2, silence_after=180.0):
    """A WAV with `samples` between silences, in seconds. A peer hangs up when its file ends: hence the long tail."""
    silence = lambda seconds: bytes(2 * int(seconds * RATE))
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(silence(silence_before) + samples + silence(silence_after))
    return path


def twice_the_rate(samples):
    """The same at 16 kHz; between two samples goes their mean."""
    narrow = array.array("h", samples)
    wide = array.array("h", bytes(4 * len(narrow)))
    wide[::2] = narrow
    for at in range(len(narrow) - 1):
        wide[2 * at + 1] = (narrow[at] + narrow[at + 1]) // 2
    return wide.tobytes()


def a_law(samples):
    """16-bit samples as G.711 A-law bytes."""

    def byte(sample):
        sign, level = (0x80, sample) if sample >= 0 else (0, -sample - 1)
        level >>= 3
        segment = max(level.bit_length() - 5, 0)
        low = level >> segment if segment else level >> 1
        code = (segment << 4) | (low & 0x0F)
        return (code | sign) ^ 0x55

    return bytes(map(byte, array.array("h", samples)))


class Recording:
    """A 16-bit WAV that may still be growing, of 8 kHz mono or a multiple of it."""

    def __init__(self, path):
        self.path = Path(path)

    def samples(self, since=0):
        """From frame `since` on as 8 kHz mono: of wider recordings means."""
        with open(self.path, "rb") as wav:
            head = wav.read(44)
            channels, rate = struct.unpack_from("<HI", head, 22) if len(head) == 44 else (1, RATE)
            # linphonec fills its header in when it is done.
            width = channels * rate // RATE or 1
            wav.seek(44 + since * FRAME * 2 * width)
            data = wav.read()
        samples = array.array("h", data[: len(data) // 2 * 2])
        if width == 1:
            return samples
        return array.array("h", (sum(samples[at : at + width]) // width for at in range(0, len(samples) - width + 1, width)))

    def loud(self, since=0):
        """For each 20 ms from frame `since` on: whether it holds a voice."""
        samples = self.samples(since)
        return [
            sum(map(abs, samples[at : at + FRAME])) > LOUD * FRAME for at in range(0, len(samples) - FRAME + 1, FRAME)
        ]

    def utterances(self, pause=0.3):
        """The samples of each stretch of voice between pauses that long, in seconds."""
        data = self.samples().tobytes()
        voiced = [n for n, is_loud in enumerate(self.loud()) if is_loud]
        stretches = []
        for n in voiced:
            if stretches and n - stretches[-1][1] <= pause / 0.02:
                stretches[-1][1] = n
            else:
                stretches.append([n, n])
        # What is softer than a voice belongs to it: the ends of syllables.
        around = int(0.1 / 0.02)
        return [data[max(first - around, 0) * FRAME * 2 : (last + around) * FRAME * 2] for first, last in stretches]

    def heard_seconds(self):
        """How much voice there is."""
        return sum(self.loud()) * 0.02

    def wait_for_turn(self, seconds=30.0, since=0, silence=0.9):
        """Waits until a voice was heard after frame `since` and then was silent; gives the frame where it ended."""
        end = time.monotonic() + seconds
        need = int(silence / 0.02)
        while time.monotonic() < end:
            loud = self.loud()
            voiced = [n for n, is_loud in enumerate(loud) if is_loud and n >= since]
            if len(voiced) >= 10 and len(loud) - voiced[-1] > need:
                return voiced[-1] + 1
            time.sleep(0.1)
        raise AssertionError(
            f"no turn of the bot was heard to its end in {seconds:g} s ({self.heard_seconds():.1f} s of voice)"
        )

    def wait_for_voice(self, seconds=10.0, since=0, amount=0.2):
        """Waits until `amount` seconds of voice were heard after frame `since`; gives the frame of the first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            voiced = [n for n, is_loud in enumerate(self.loud()) if is_loud and n >= since]
            if len(voiced) * 0.02 >= amount:
                return voiced[0]
            time.sleep(0.05)
        raise AssertionError(f"no voice was heard in {seconds:g} s")

    def now(self):
        """The present end, in frames."""
        return len(self.loud())
