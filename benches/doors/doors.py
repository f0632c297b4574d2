"""The doors of a server, each with a client that calls by it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))
import audio  # noqa: E402
import rtc_phone  # noqa: E402
import stream_phone  # noqa: E402
import streams  # noqa: E402


@dataclass
class Door:
    # `(stage, server, n)`: the nth telephone, which calls.
    make: Callable
    # What its server's `[sip]` needs.
    sip: str = ""

    def server(self, stage, **options):
        return streams.server_with_streams(stage, sip_extra=self.sip, **options)

    def call(self, stage, server, n=0):
        return self.make(stage, server, n)


def by_baresip(codecs, module=None, rate=audio.RATE, account=""):
    def phone(stage, server, _):
        settings = f"module {module}.so\n" if module else ""
        phone = stage.baresip(codecs=codecs, settings=settings, rate=rate, account=account)
        phone.do("dial", server.uri())
        return phone

    return phone


def by_stream(dialect):
    return Door(lambda stage, server, n: streams.phone_of(stage, server, dialect(), f"phone-{n}"))


def by_aiortc(codec=None):
    return Door(
        lambda stage, server, n: stage.keep(rtc_phone.Aiortc(stage.folder / f"phone-{n}", server.websockets, streams.TOKEN, codec=codec))
    )


DOORS = {
    "SIP, A-law (baresip)": Door(by_baresip("PCMA/8000/1")),
    "SIP, A-law, SRTP (baresip)": Door(
        by_baresip("PCMA/8000/1", "srtp", account=";mediaenc=srtp-mand"), 'srtp = "required"\nsrtp_over_plain_sip = true\n'
    ),
    "SIP, G.722 (baresip)": Door(by_baresip("G722/16000/1", "g722", 16000)),
    "SIP, Opus (baresip)": Door(by_baresip("opus/48000/2", "opus")),
    "WebSocket, own": by_stream(stream_phone.Nightline),
    "Twilio": by_stream(stream_phone.Twilio),
    "Asterisk WebSocket": by_stream(stream_phone.AsteriskText),
    "AudioSocket": by_stream(stream_phone.AudioSocket),
    "jambonz": by_stream(stream_phone.Jambonz),
    "FreeSWITCH WebSocket": by_stream(stream_phone.Freeswitch),
    "WebRTC, A-law (aiortc)": by_aiortc("PCMA"),
    "WebRTC, Opus (aiortc)": by_aiortc(),
}
