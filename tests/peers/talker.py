"""A telephone in a thread of its own: what all have in common that are clients of ours and not programs of others."""

import asyncio
import threading

import audio
import net

FRAME_BYTES = audio.FRAME * 2


class Talker:
    """Calls by `_talk` once `start` is called; says what it is given, and what it hears grows in a WAV."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.path = folder / "heard.wav"
        self.over, self.error = False, None
        self._to_say, self._stopping = bytearray(), False
        self._lock = threading.Lock()
        audio.write(self.path, b"", silence_before=0, silence_after=0)

    def start(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._guarded()), daemon=True)
        self._thread.start()

    def established(self, seconds=15.0):
        """What is heard, once something is."""
        recording = audio.Recording(self.path)
        net.wait_for("audio from the server", lambda: self.error or recording.now() > 0, seconds)
        assert not self.error, self.error
        return recording

    def say(self, samples):
        with self._lock:
            self._to_say += samples

    def next_to_say(self):
        """The next 20 ms; silence where there is nothing to say."""
        with self._lock:
            samples = bytes(self._to_say[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
            del self._to_say[:FRAME_BYTES]
        return samples

    def hear(self, samples):
        # The reader looks at the samples alone, whatever the header says of their number.
        with open(self.path, "ab") as wav:
            wav.write(samples)

    def stop(self):
        self._stopping = True
        self._thread.join(5)

    async def _guarded(self):
        try:
            await self._talk()
        except Exception as error:  # told to whoever waits
            self.error = repr(error)
        self.over = True
