"""Web telephones: aiortc, which speaks and hears by itself, and the page of the server in a headless Chromium with a fake microphone."""

import asyncio
import base64
import contextlib
import fractions
import http.client
import json
import subprocess
import time
import urllib.parse

import audio
import net
from talker import Talker


class Aiortc(Talker):
    """Calls when it is made, as a web page would."""

    def __init__(self, folder, port, token, number="13812345678", codec=None):
        super().__init__(folder)
        self.port, self.token, self.number, self.codec = port, token, number, codec
        self.told = []
        self.start()

    async def _talk(self):
        from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
        from aiortc.mediastreams import MediaStreamError
        from av import AudioResampler

        peer = RTCPeerConnection()
        try:
            sender = peer.addTrack(_voice(self))
            if self.codec:
                known = RTCRtpSender.getCapabilities("audio").codecs
                wanted = [one for one in known if one.mimeType.lower() == f"audio/{self.codec}".lower()]
                next(one for one in peer.getTransceivers() if one.sender == sender).setCodecPreferences(wanted)
            heard = asyncio.get_running_loop().create_future()

            @peer.on("track")
            def _(track):
                heard.set_result(track)

            await peer.setLocalDescription(await peer.createOffer())
            status, headers, answer = await asyncio.to_thread(
                request, self.port, "POST", f"/media/webrtc?from={self.number}&to=4001234567", peer.localDescription.sdp, self.token
            )
            assert status == 201, f"{status} {answer}"
            call = headers["Location"]
            telling = asyncio.create_task(asyncio.to_thread(self._follow, f"{call}/events"))
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            track = await asyncio.wait_for(heard, 10)
            narrow = AudioResampler(format="s16", layout="mono", rate=audio.RATE)
            with contextlib.suppress(MediaStreamError):
                while not self._stopping and peer.connectionState not in ("closed", "failed"):
                    for frame in narrow.resample(await track.recv()):
                        self.hear(bytes(frame.planes[0])[: frame.samples * 2])
            if self._stopping:
                await asyncio.to_thread(request, self.port, "DELETE", call)
            await asyncio.wait([telling], timeout=3)
        finally:
            await peer.close()

    def _follow(self, path):
        """The server's events, until the call is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            for line in answer:
                if line.startswith(b"data:"):
                    self.told.append(json.loads(line[5:]))


def _voice(phone):
    """An audio track that gives what `phone` has to say, 20 ms every 20 ms."""
    from aiortc.mediastreams import AudioStreamTrack
    from av import AudioFrame

    class Voice(AudioStreamTrack):
        began, sent = None, 0

        async def recv(self):
            self.began = self.began or time.monotonic()
            await asyncio.sleep(max(0, self.began + self.sent / audio.RATE - time.monotonic()))
            frame = AudioFrame(format="s16", layout="mono", samples=audio.FRAME)
            frame.planes[0].update(phone.next_to_say())
            frame.pts, frame.sample_rate = self.sent, audio.RATE
            frame.time_base = fractions.Fraction(1, audio.RATE)
            self.sent += audio.FRAME
            return frame

    return Voice()


def request(port, method, path, body=None, token=None, content="application/sdp"):
    """Status, headers and body of what a request about a call is answered."""
    headers = {"Content-Type": content} if body is not None else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


class Chromium:
    """A page of the server in a headless Chromium that hears `samples` from its microphone when the call begins; it calls, or answers,
    with a pass."""

    def __init__(self, folder, port, pass_, samples, page="call", size="420,900"):
        folder.mkdir(parents=True)
        microphone = audio.write(folder / "microphone.wav", samples, silence_before=0, silence_after=240)
        debugging = net.free_ports()[0]
        query = urllib.parse.urlencode({"pass": pass_, "lang": "zh"})
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--window-size={size}"]
            + [f"--user-data-dir={folder / 'profile'}", f"--remote-debugging-port={debugging}"]
            + ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
            + [f"--use-file-for-fake-audio-capture={microphone}%noloop", "--autoplay-policy=no-user-gesture-required"]
            + [f"http://127.0.0.1:{port}/{page}#{query}"],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self._socket = net.wait_for("the page in Chromium", lambda: self._connect(debugging, f"/{page}#"), 30)
        self._count = 0
        net.wait_for("the page to be there", lambda: self.evaluate("document.readyState === 'complete' && Boolean(document.querySelector('main'))"), 15)

    def _connect(self, port, url):
        from websockets.sync.client import connect

        assert self.process.poll() is None, "Chromium ended at once"
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/json/list")
            for page in json.loads(connection.getresponse().read()):
                if url in page["url"] and page["type"] == "page":
                    return connect(page["webSocketDebuggerUrl"], max_size=1 << 26)
        return None

    def _do(self, method, **params):
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(30))
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script):
        """What a script on the page comes to."""
        result = self._do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, name):
        self.evaluate(f"document.getElementById('{name}').click()")

    def state(self):
        """What the page says of itself: `idle`, `up`, `over` …"""
        return self.evaluate("document.querySelector('main').dataset.state")

    def text(self, name):
        return self.evaluate(f"document.getElementById('{name}').textContent")

    def lines(self, who=""):
        """What stands in the transcript, of one side or of all."""
        return self.evaluate(f"[...document.querySelectorAll('#transcript li{who and '.' + who}')].map((line) => line.textContent)")

    def hears(self, seconds=3.0):
        """The loudest that its loudspeaker plays within some seconds, 0 to 1."""
        return self.evaluate(
            """(async () => {
                const context = new AudioContext();
                const analyser = context.createAnalyser();
                context.createMediaStreamSource(document.getElementById("voice").srcObject).connect(analyser);
                const samples = new Float32Array(analyser.fftSize);
                let peak = 0;
                for (let n = 0; n < SECONDS * 50; n++) {
                    await new Promise((done) => setTimeout(done, 20));
                    analyser.getFloatTimeDomainData(samples);
                    peak = Math.max(peak, ...samples.map(Math.abs));
                }
                await context.close();
                return peak;
            })()""".replace("SECONDS", str(seconds))
        )

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._do("Page.captureScreenshot")["data"]))

    def stop(self):
        with contextlib.suppress(Exception):
            self._socket.close()
        net.end(self.process)
        self.log.close()
