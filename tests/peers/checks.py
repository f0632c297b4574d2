"""What must hold between a running Nightline and real peers. Each check is a function whose name is a sentence."""

import contextlib
import inspect
import re
import socket
import struct
import subprocess
import sys
import time
from difflib import SequenceMatcher
from pathlib import Path

import audio
import net
import sip_uas
from baresip import Baresip
from linphone import Linphone
from server import RING_TIMEOUT, Server

SIPP = Path(__file__).resolve().parent / "sipp"


class Stage:
    """What a check plays on: a server and peers in one folder; all are ended with the check."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self._ends = contextlib.ExitStack()
        self._peers = 0

    def server(self, **options):
        return self.keep(Server(self.binary, self.folder / "server", **options))

    def baresip(self, **options):
        return self.keep(Baresip(self._folder("baresip"), **options))

    def linphone(self, **options):
        return self.keep(Linphone(self._folder("linphone"), **options))

    def sipp(self, server, scenario, *options, seconds=30):
        """Runs a scenario of tests/peers/sipp; gives what sipp printed. Its exit status must be 0."""
        ports = net.free_ports(1)[0], net.free_ports(64, even=True)[0]
        folder = self._folder("sipp")
        folder.mkdir()
        (folder / "voice.alaw").write_bytes(audio.a_law(audio.utterance("demo", 2) + bytes(2 * 8000 * 4)))
        command = ["sipp", f"127.0.0.1:{server.port}", "-i", "127.0.0.1", "-p", str(ports[0])]
        command += ["-mi", "127.0.0.1", "-mp", str(ports[1]), "-sf", str(SIPP / f"{scenario}.xml")]
        command += ["-timeout", f"{seconds}s", "-timeout_error", "-trace_err", "-nostdin", *map(str, options)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds + 10)
        errors = "".join(path.read_text(errors="replace")[:600] for path in folder.glob("*_errors.log"))
        assert done.returncode == 0, f"sipp {scenario} ended with {done.returncode}: {errors or done.stderr[-600:]}"
        return done.stdout

    def _folder(self, kind):
        self._peers += 1
        return self.folder / f"{kind}-{self._peers}"

    def keep(self, thing):
        self._ends.callback(thing.stop)
        return thing

    def close(self):
        self._ends.close()


def said(record, who="caller"):
    return [turn["text"] for turn in record["turns"] if turn["who"] == who]


def understood(record, words):
    """Fails unless one of the caller's turns has the words, but for one in five; what they are taken for is `sources`' to tell."""
    bare = lambda text: re.sub(r"\W", "", text)
    turns = said(record)
    likeness = lambda turn: SequenceMatcher(None, bare(words), bare(turn), autojunk=False).ratio()
    assert any(
        likeness(turn) >= 0.8 for turn in turns
    ), f"“{words}” was not understood; the caller's turns: {turns}"


def sources(record):
    return [source for turn in record["turns"] for source in turn["sources"]]


def ask_and_be_answered(server, peer, hears):
    """Waits for the greeting, asks about the first service, and waits for the whole answer."""
    greeting = hears.wait_for_turn()
    peer.say(audio.utterance("demo", 2))
    answered = hears.wait_for_turn(since=greeting)
    assert hears.heard_seconds() > 3, f"only {hears.heard_seconds():.1f} s of voice came over RTP"
    return answered


def interrupt(peer, hears, since):
    """Asks at length, speaks into the answer, sees the bot fall silent, and waits for what it says then."""
    peer.say(audio.utterance("demo", 0))
    # The question itself takes some seconds; the answer is the first voice after `since`.
    hears.wait_for_voice(20, since=since, amount=1.5)
    peer.say(audio.utterance("demo", 1))
    began = hears.now()
    net.wait_for("the bot to be silent for 0.3 s", lambda: hears.now() - began > 15 and not any(hears.loud()[-15:]), 3)
    hears.wait_for_turn(since=hears.now())


def asked_and_answered(record):
    understood(record, "首保是免费的吗")
    assert "maint-first" in sources(record), f"the answer rests on {sources(record)}, not on maint-first"


def talk_to_each_other(phone, hears, seat, seat_hears):
    """Caller and seat are joined when what one says reaches the other, both ways."""
    time.sleep(4)
    before = seat_hears.now()
    phone.say(audio.utterance("own-words", 0))
    seat_hears.wait_for_voice(10, since=before, amount=1.0)
    before = hears.now()
    seat.say(audio.utterance("own-words", 1))
    hears.wait_for_voice(10, since=before, amount=1.0)


def baresip_is_understood_over_udp(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    asked_and_answered(server.record())


def baresip_is_understood_over_tcp(stage):
    server, phone = stage.server(), stage.baresip(transport="tcp")
    phone.do("dial", server.uri())
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    asked_and_answered(server.record())


def baresip_is_understood_in_mu_law(stage):
    server, phone = stage.server(), stage.baresip(codecs="PCMU/8000/1")
    phone.do("dial", server.uri())
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    record = server.record()
    asked_and_answered(record)
    codecs = [media["codec"] for media in record["media"] if media["leg"] == "caller"]
    assert codecs == ["PCMU"], f"the caller's leg is recorded as {codecs}"


def baresip_is_understood_over_tls_with_encrypted_media(stage):
    stage.folder.mkdir(parents=True, exist_ok=True)
    certificate, key = stage.folder / "certificate.pem", stage.folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    port = net.free_ports()[0]
    extra = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\nsrtp = "required"\n'
    server = stage.server(sip_extra=extra, tls=port)
    phone = stage.baresip(
        transport="tls", settings=f"module srtp.so\nsip_cafile {certificate}\n", account=";mediaenc=srtp-mand"
    )
    phone.do("dial", f"sip:hotline@127.0.0.1:{port}")
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    asked_and_answered(server.record())
    plain = stage.baresip()
    plain.do("dial", server.uri())
    net.wait_for("the call without encryption to be refused", lambda: "488" in plain.text(), 10)


def a_transport_that_the_uri_names_twice_is_no_obstacle(stage):
    server, phone = stage.server(), stage.baresip()
    # baresip appends its account's `;transport=udp` to this.
    phone.do("dial", server.uri() + ";transport=udp")
    phone.established().wait_for_voice(15)


def linphone_is_understood_over_udp(stage):
    server, phone = stage.server(), stage.linphone(transport="udp")
    ask_and_be_answered(server, phone, phone.dial(server.port))
    phone.do("terminate")
    asked_and_answered(server.record())


def linphone_is_understood_over_tcp(stage):
    server, phone = stage.server(), stage.linphone(transport="tcp")
    ask_and_be_answered(server, phone, phone.dial(server.port))
    phone.do("terminate")
    asked_and_answered(server.record())


def an_interruption_stops_the_bot(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    interrupt(phone, hears, since=hears.wait_for_turn())
    phone.do("hangup")
    record = server.record()
    assert record["barge_ins"] >= 1, f"no barge-in is recorded: {record['turns']}"
    cut = [turn for turn in record["turns"] if turn["who"] == "bot" and turn["interrupted"]]
    assert cut, "no turn of the bot is recorded as interrupted"


def a_seat_takes_the_call_after_zero_is_pressed(stage):
    seat = stage.baresip(answers=True)
    server, phone = stage.server(seats=[f"sip:peer@127.0.0.1:{seat.port}"]), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    hears.wait_for_voice(15)
    phone.do("sndcode", 0)
    seat_hears = seat.established(20)
    seat_hears.wait_for_voice(15, amount=1.0)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    phone.do("hangup")
    record = server.record()
    assert record["dtmf"].startswith("0"), f"the keys recorded are {record['dtmf']!r}"
    assert record["handoff"]["reason"] == "key_zero", record["handoff"]
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]
    assert record["disposition"] == "transferred", record["disposition"]
    net.wait_for("the seat's call to be ended too", seat.closed, 3)


def a_seat_takes_the_call_when_a_person_is_asked_for(stage):
    seat = stage.baresip(answers=True)
    server, phone = stage.server(seats=[f"sip:peer@127.0.0.1:{seat.port}"]), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    hears.wait_for_turn()
    phone.say(audio.utterance("demo", 3))
    seat_hears = seat.established(25)
    seat_hears.wait_for_voice(15, amount=1.0)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    before = hears.now() + 50
    seat.do("hangup")
    # The caller is not left in silence: the bot comes back.
    hears.wait_for_turn(20, since=before)
    phone.do("hangup")
    record = server.record()
    assert record["handoff"]["reason"] == "requested", record["handoff"]
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]


def a_call_back_is_offered_when_no_seat_can_be_reached(stage):
    nobody = net.free_ports()[0]
    server, phone = stage.server(seats=[f"sip:peer@127.0.0.1:{nobody}"]), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    hears.wait_for_voice(15)
    phone.do("sndcode", 0)
    # Whatever is played meanwhile: after the ringing's limit the bot must be back and ask.
    net.wait_for("the offer of a call-back", lambda: "回电" in "".join(said(server.running(), "bot")), RING_TIMEOUT + 40)
    phone.do("hangup")
    record = server.record()
    assert record["handoff"]["outcome"] in ("unreachable", "no_answer"), record["handoff"]
    assert any("回电" in text for text in said(record, "bot")), f"no call-back was offered: {said(record, 'bot')}"


def hold_is_silent_and_the_call_goes_on_after_it(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    phone.established().wait_for_voice(15, amount=1.0)
    # baresip records nothing after a hold, but it shows what it receives, averaged over 3 s.
    net.wait_for("baresip to show what it receives", lambda: phone.receives() > 30_000, 8)
    phone.do("hold")
    net.wait_for("silence on the wire during hold", lambda: phone.receives() == 0, 10)
    phone.do("resume")
    net.wait_for("RTP after the hold", lambda: phone.receives() > 30_000, 8)
    phone.say(audio.utterance("demo", 2))
    time.sleep(6)
    phone.do("hangup")
    asked_and_answered(server.record())


def a_hang_up_in_mid_sentence_ends_the_call_within_two_seconds(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    phone.established().wait_for_turn()
    phone.say(audio.utterance("demo", 0))
    time.sleep(1.2)
    phone.do("hangup")
    record = server.record(2.0)
    assert record["disposition"] == "abandoned", record["disposition"]
    assert server.answers(), "the server does not answer any more"


def a_caller_who_vanishes_during_the_consultation_frees_the_seat(stage):
    seat = stage.baresip(answers=True)
    server, phone = stage.server(seats=[f"sip:peer@127.0.0.1:{seat.port}"]), stage.baresip()
    phone.do("dial", server.uri())
    phone.established().wait_for_voice(15)
    phone.do("sndcode", 0)
    seat.established(20)
    phone.do("hangup")
    net.wait_for("the seat to be released", seat.closed, 3)
    outcome = server.record()["handoff"]["outcome"]
    assert outcome == "caller_gone", f"the handoff ended as {outcome}"


def ten_calls_with_rtp_at_once_all_succeed(stage):
    server = stage.server(calls=16)
    stage.sipp(server, "talk", "-r", 5, "-m", 10, "-l", 10, "-d", 8000, seconds=60)
    net.wait_for("ten records", lambda: len(server.calls()) >= 10, 10)
    for call in server.calls():
        record = server.command("calls", "show", call["id"])
        media = [media for media in record["media"] if media["leg"] == "caller"]
        assert media and media[0]["received"] > 200, f"a call received {media}"
        assert media[0]["lost"] == 0, f"a call lost {media[0]['lost']} packets on loopback"


def calls_beyond_the_limit_are_refused_and_the_others_go_on(stage):
    server, phone = stage.server(calls=1), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    stage.sipp(server, "refused", "-m", 3, "-r", 3, seconds=15)
    ask_and_be_answered(server, phone, hears)
    phone.do("hangup")
    asked_and_answered(server.record())


def rubbish_on_the_sip_and_rtp_ports_disturbs_nobody(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    hears = phone.established()
    _rubbish_to(server.port)
    media = net.wait_for("the server's RTP address", lambda: re.search(r"m=audio (\d+)", _answer(phone)), 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for n in range(400):
            body = bytes([n % 256]) * (n % 300)
            header = struct.pack("!BBHII", 0x80, 8 if n % 3 else 99, n, n * 160, 0xDEADBEEF)
            sock.sendto(header + body if n % 2 else body, ("127.0.0.1", int(media[1])))
    ask_and_be_answered(server, phone, hears)
    phone.do("hangup")
    asked_and_answered(server.record())
    assert "panicked" not in server.text(), "a task of the server panicked"


def the_server_passes_the_conformance_checks(stage):
    server = stage.server(calls=64)
    done = subprocess.run(
        [sys.executable, sip_uas.__file__, str(server.port), "--check"], capture_output=True, text=True, timeout=100
    )
    wrong = [line for line in done.stdout.splitlines() if "WANTED" in line]
    assert done.returncode == 0, "\n        ".join(wrong or [done.stderr.strip()[-300:]])


def an_offer_without_audio_is_refused_with_488(stage):
    server = stage.server()
    stage.sipp(server, "no_audio", "-m", 1, seconds=10)
    assert server.answers(), "the server does not answer any more"


def a_port_in_use_is_a_clear_error(stage):
    server = stage.server()
    config = stage.folder / "second.toml"
    config.write_text(server.config.read_text().replace("nightline.db", "second.db"))
    done = subprocess.run([stage.binary, "serve", "--config", str(config)], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0, "a second server started on the same port"
    assert str(server.port) in done.stderr, f"the error does not name the port: {done.stderr.strip()[-300:]}"
    assert server.answers(), "the first server does not answer any more"


def sigterm_ends_running_calls_and_the_server(stage):
    server, phone = stage.server(), stage.baresip()
    phone.do("dial", server.uri())
    phone.established().wait_for_voice(15)
    status = server.stop()
    assert status == 0, f"the server ended with status {status}"
    net.wait_for("the caller's call to be ended", phone.closed, 5)


def _answer(phone):
    """The server's 200 OK with its SDP, out of baresip's trace."""
    trace = phone.text()
    return trace[trace.rfind("SIP/2.0 200 OK") :]


def checks_of(module):
    """Its functions that take the stage and nothing else, in order; `module` is its namespace."""
    own = [thing for thing in module.values() if inspect.isfunction(thing) and thing.__module__ == module["__name__"]]
    return [thing for thing in own if list(inspect.signature(thing).parameters) == ["stage"]]


def _rubbish_to(port):
    lines = [b"", b"\r\n\r\n", b"\0" * 2000, b"INVITE\r\n\r\n", b"SIP/2.0 200\r\n\r\n", bytes(range(256)) * 8]
    huge = b"INVITE sip:a@127.0.0.1 SIP/2.0\r\nContent-Length: 18446744073709551615\r\n\r\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for line in [*lines, huge]:
            sock.sendto(line, ("127.0.0.1", port))
    for line in [*lines, huge]:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(line)


# What needs all processors by itself.
ALONE = [ten_calls_with_rtp_at_once_all_succeed]

ALL = checks_of(globals())
