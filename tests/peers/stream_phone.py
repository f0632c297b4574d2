"""A caller behind a platform that streams media: it speaks the platform's documented messages, in real time, at 8 kHz."""

import array
import asyncio
import base64
import contextlib
import json
import struct
import threading
import time
import uuid

from talker import Talker

FRAME = 160


def mu_law(samples):
    """16-bit samples as G.711 µ-law bytes."""

    def byte(sample):
        sign, level = (0x80, -sample) if sample < 0 else (0, sample)
        level = min(level, 32635) + 132
        segment = max(level.bit_length() - 8, 0)
        return ~(sign | (segment << 4) | ((level >> (segment + 3)) & 0x0F)) & 0xFF

    return bytes(map(byte, array.array("h", samples)))


def from_mu_law(data):
    """G.711 µ-law bytes as 16-bit samples."""

    def sample(byte):
        byte = ~byte & 0xFF
        level = (((byte & 0x0F) << 3) + 132) << ((byte >> 4) & 7)
        return 132 - level if byte & 0x80 else level - 132

    return array.array("h", map(sample, data)).tobytes()


class Nightline:
    """Our own protocol."""

    path, subprotocol = "nightline", "nightline.media.v1"

    def begin(self, number):
        format = {"encoding": "pcm_s16le", "rate": 8000}
        return [json.dumps({"type": "start", "version": 1, "from": number, "to": "400", "format": format})]

    def audio(self, samples):
        return samples

    def key(self, key):
        return json.dumps({"type": "dtmf", "digit": key})

    def heard(self, message):
        return message if isinstance(message, bytes) else b""

    def cleared(self, message):
        return not isinstance(message, bytes) and json.loads(message)["type"] == "clear"

    def bye(self):
        return [json.dumps({"type": "stop"})]


class Twilio:
    """Twilio Media Streams."""

    path, subprotocol = "twilio", None

    def begin(self, number):
        self.stream = "MZ" + uuid.uuid4().hex
        start = {"accountSid": "AC1", "streamSid": self.stream, "callSid": "CA1", "tracks": ["inbound"]}
        start |= {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}
        start |= {"customParameters": {"from": number, "to": "400"}}
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [json.dumps(connected), self._message("start", start)]

    def audio(self, samples):
        payload = base64.b64encode(mu_law(samples)).decode()
        return self._message("media", {"track": "inbound", "payload": payload})

    def key(self, key):
        return self._message("dtmf", {"track": "inbound_track", "digit": key})

    def heard(self, message):
        message = json.loads(message)
        assert message["streamSid"] == self.stream, message
        return from_mu_law(base64.b64decode(message["media"]["payload"])) if message["event"] == "media" else b""

    def cleared(self, message):
        return json.loads(message)["event"] == "clear"

    def bye(self):
        return [self._message("stop", {"accountSid": "AC1", "callSid": "CA1"})]

    def _message(self, event, inner):
        return json.dumps({"event": event, "sequenceNumber": "1", event: inner, "streamSid": self.stream})


class AsteriskText:
    """Asterisk's chan_websocket in plain text."""

    path, subprotocol = "asterisk", "media"

    def begin(self, number):
        self.query = {"from": number, "to": "400"}
        return ["MEDIA_START connection_id:c1 channel:WebSocket/c1/0x1 channel_id:1.1 format:ulaw optimal_frame_size:160 ptime:20"]

    def audio(self, samples):
        return mu_law(samples)

    def key(self, key):
        return f"DTMF_END digit:{key} duration_ms:120"

    def heard(self, message):
        return from_mu_law(message) if isinstance(message, bytes) else b""

    def cleared(self, message):
        return message == "FLUSH_MEDIA"

    def bye(self):
        return []


class AsteriskJson(AsteriskText):
    """The same in JSON."""

    def begin(self, number):
        start = {"event": "MEDIA_START", "connection_id": "c1", "channel": "WebSocket/c1/0x1", "channel_id": "1.1"}
        start |= {"format": "ulaw", "optimal_frame_size": 160, "ptime": 20, "channel_variables": {"from": number}}
        return [json.dumps(start)]

    def key(self, key):
        return json.dumps({"event": "DTMF_END", "channel_id": "1.1", "digit": key, "duration_ms": 120})

    def cleared(self, message):
        return not isinstance(message, bytes) and json.loads(message).get("command") == "FLUSH_MEDIA"


class Jambonz:
    """jambonz listen."""

    path, subprotocol = "jambonz", "audio.jambonz.org"

    def begin(self, number):
        return [json.dumps({"callSid": "c1", "from": number, "to": "400", "sampleRate": 8000, "mixType": "mono"})]

    def audio(self, samples):
        return samples

    def key(self, key):
        return json.dumps({"event": "dtmf", "dtmf": key, "duration": "1600"})

    def heard(self, message):
        return message if isinstance(message, bytes) else b""

    def cleared(self, message):
        return not isinstance(message, bytes) and json.loads(message).get("type") == "killAudio"

    def bye(self):
        return []


class Freeswitch:
    """FreeSWITCH mod_audio_stream. It has no keys and no word for interruptions."""

    path, subprotocol = "freeswitch", None

    def begin(self, number):
        self.query = {"from": number, "rate": "8000"}
        return ["free words"]

    def audio(self, samples):
        return samples

    key = None

    def heard(self, message):
        return message if isinstance(message, bytes) else b""

    def cleared(self, message):
        return False

    def bye(self):
        return []


class AudioSocket:
    """Asterisk's AudioSocket, on TCP."""

    path = None

    def begin(self, number):
        return [self._frame(0x01, uuid.uuid4().bytes)]

    def audio(self, samples):
        return self._frame(0x10, samples)

    def key(self, key):
        return self._frame(0x03, key.encode())

    def heard(self, frame):
        kind, body = frame[0], frame[3:]
        return body if kind == 0x10 else b""

    def cleared(self, message):
        return False

    def bye(self):
        return [self._frame(0x00, b"")]

    def _frame(self, kind, body):
        return struct.pack("!BH", kind, len(body)) + body


class StreamPhone(Talker):
    """Calls when it is made, or is called at `port` if it `listens`. `token` goes into the header, or into the path if `in_path`."""

    def __init__(self, folder, dialect, port, token=None, number="13812345678", in_path=False, listens=False):
        super().__init__(folder)
        self.dialect, self.port, self.token, self.number, self.in_path = dialect, port, token, number, in_path
        if listens:
            self._talk = self._be_called
        else:
            self._talk = self._talk_by_websocket if dialect.path else self._talk_by_tcp
        self.cleared, self.told = 0, ""
        self._keys, self._listening = [], threading.Event()
        self.start()
        assert not listens or self._listening.wait(10), self.error

    def press(self, key):
        with self._lock:
            self._keys.append(self.dialect.key(key))

    async def _talk_by_websocket(self):
        from websockets.asyncio.client import connect

        first = self.dialect.begin(self.number)
        protocols = [self.dialect.subprotocol] if self.dialect.subprotocol else None
        query = "&".join(f"{name}={value}" for name, value in getattr(self.dialect, "query", {}).items())
        path = f"{self.dialect.path}/{self.token}" if self.in_path else self.dialect.path
        address = f"ws://127.0.0.1:{self.port}/media/{path}" + (f"?{query}" if query else "")
        headers = {} if self.in_path or not self.token else {"Authorization": f"Bearer {self.token}"}
        async with connect(address, additional_headers=headers, subprotocols=protocols) as socket:
            await self._converse(socket, first)

    async def _be_called(self):
        from websockets.asyncio.server import serve

        over = asyncio.Event()

        async def called(socket):
            await self._converse(socket, self.dialect.begin(self.number))
            over.set()

        protocols = [self.dialect.subprotocol] if self.dialect.subprotocol else None
        async with serve(called, "127.0.0.1", self.port, subprotocols=protocols):
            self._listening.set()
            await over.wait()

    async def _converse(self, socket, first):
        for message in first:
            await socket.send(message)
        listening = asyncio.create_task(self._listen(socket))
        await self._speak(socket.send, listening)
        for message in self.dialect.bye():
            await socket.send(message)
        await socket.close()
        await asyncio.wait([listening], timeout=2)

    async def _listen(self, socket):
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                self._take(message)

    async def _talk_by_tcp(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def send(message):
            writer.write(message)
            await writer.drain()

        async def listen():
            while True:
                head = await reader.readexactly(3)
                self._take(head + await reader.readexactly(struct.unpack("!H", head[1:])[0]))

        for message in self.dialect.begin(self.number):
            await send(message)
        listening = asyncio.create_task(listen())
        await self._speak(send, listening)
        for message in self.dialect.bye():
            await send(message)
        writer.close()
        listening.cancel()

    async def _speak(self, send, listening):
        """20 ms every 20 ms, silence where there is nothing to say, until it is stopped or the far end ends the call."""
        next_at = time.monotonic()
        while not self._stopping and not listening.done():
            with self._lock:
                keys, self._keys = self._keys, []
            for key in keys:
                await send(key)
            await send(self.dialect.audio(self.next_to_say()))
            next_at += 0.02
            await asyncio.sleep(max(0, next_at - time.monotonic()))

    def _take(self, message):
        self.told += message if isinstance(message, str) else ""
        heard = self.dialect.heard(message)
        self.cleared += self.dialect.cleared(message)
        if heard:
            self.hear(heard)
