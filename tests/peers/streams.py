"""Callers whose platform streams media to a running Nightline. Each check is a function whose name is a sentence."""

import http.client
import json
import socket

import audio
import net
import stream_phone
from checks import ask_and_be_answered, asked_and_answered, checks_of, interrupt, talk_to_each_other, understood
from stream_phone import StreamPhone
from transfers import SEAT, hears_summary, seat_uri

TOKEN = "a-token-that-nobody-guesses"


def server_with_streams(stage, extra="", connect=None, **options):
    port = net.free_ports(2)
    media = f'[media]\nlisten = "127.0.0.1:{port[0]}"\ntoken = "{TOKEN}"\naudiosocket = "127.0.0.1:{port[1]}"\n'
    media += f'connect = ["{connect}"]\n' if connect else ""
    server = stage.server(extra=extra + media, **options)
    server.websockets, server.audiosockets = port
    return server


def phone_of(stage, server, dialect, name="phone", **options):
    port = server.websockets if dialect.path else server.audiosockets
    options = {"token": TOKEN} | options
    return stage.keep(StreamPhone(stage.folder / name, dialect, port, **options))


def whole_conversation(stage, dialect, door, keys=True, clears=True, tells_number=True, make=phone_of, **options):
    """Greeted, understood, answered, interrupting, joined with a seat, and gone."""
    seat = stage.baresip(answers=True)
    server = server_with_streams(stage, extra=SEAT.format(id="1001", uri=seat_uri(seat)), plain_seats=False)
    phone = make(stage, server, dialect, **options)
    hears = phone.established()
    interrupt(phone, hears, since=hears.wait_for_turn())
    before = hears.now()
    phone.say(audio.utterance("demo", 2))
    hears.wait_for_turn(since=before)
    if keys:
        phone.press("0")
    else:
        phone.say(audio.utterance("demo", 3))
    seat_hears = hears_summary(seat, 30)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    phone.stop()
    net.wait_for("the seat's call to be ended too", seat.closed, 5)
    record = server.record()
    asked_and_answered(record)
    assert record["door"] == door, record["door"]
    assert record["barge_ins"] >= 1, "nobody was interrupted"
    assert not clears or phone.cleared >= 1, "the platform was not told to throw away what it has not played"
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]
    assert record["disposition"] == "transferred", record["disposition"]
    assert not tells_number or record["from"] == "13812345678", record["from"]
    assert not phone.error, phone.error
    return phone


def our_own_protocol_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.Nightline(), "websocket")


def twilio_media_streams_carry_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.Twilio(), "twilio", in_path=True)


def asterisk_by_websocket_in_text_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.AsteriskText(), "asterisk")


def asterisk_by_websocket_in_json_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.AsteriskJson(), "asterisk")


def jambonz_listen_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.Jambonz(), "jambonz")


def freeswitch_audio_stream_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.Freeswitch(), "freeswitch", keys=False, clears=False)


def audiosocket_carries_a_whole_conversation(stage):
    whole_conversation(stage, stream_phone.AudioSocket(), "audiosocket", clears=False, tells_number=False)


def a_stream_that_we_open_carries_a_call_and_only_where_we_may(stage):
    port = net.free_ports()[0]
    server = server_with_streams(stage, connect=f"ws://127.0.0.1:{port}/")
    phone = stage.keep(StreamPhone(stage.folder / "phone", stream_phone.AsteriskText(), port, listens=True))
    target = {"url": f"ws://127.0.0.1:{port}/media/1", "protocol": "asterisk", "from": "13812345678", "to": "400"}
    assert connect(server, target, token="wrong")[0] == 401
    assert connect(server, target | {"url": "ws://127.0.0.1:9/"})[0] == 403
    assert connect(server, target | {"protocol": "skype"})[0] == 400
    assert connect(server, target)[0] == 202
    ask_and_be_answered(server, phone, phone.established())
    phone.stop()
    record = server.record()
    asked_and_answered(record)
    assert (record["door"], record["from"]) == ("asterisk", "13812345678"), record
    assert connect(server, target)[0] == 502, "nobody listens there any more"


def connect(server, target, token=TOKEN):
    """What a request to open a stream is answered: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.websockets, timeout=15)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/media/connect", json.dumps(target), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def status_of(server, path, token=None):
    """What a request for a WebSocket is answered: status and body."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", server.websockets, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, "" if answer.status == 101 else answer.read().decode()
    finally:
        connection.close()


def bad_streams_are_refused_clearly_and_the_others_go_on(stage):
    server = server_with_streams(stage)
    phone = phone_of(stage, server, stream_phone.Nightline())
    hears = phone.established()
    assert status_of(server, "/media/nightline")[0] == 401
    code, told = status_of(server, "/media/skype", TOKEN)
    assert code == 404 and "twilio" in json.loads(told)["error"], told
    # Half-open AudioSockets: no more than 16 from one address, each for five seconds at most.
    silent = [socket.create_connection(("127.0.0.1", server.audiosockets), 2) for _ in range(40)]
    rubbish = socket.create_connection(("127.0.0.1", server.audiosockets), 2)
    rubbish.sendall(b"GET / HTTP/1.1\r\n\r\n" * 2000)
    for one in silent:
        one.settimeout(8)
        assert one.recv(10) in (b"", b"\0\0\0"), "a silent AudioSocket was answered"
        one.close()
    rubbish.close()
    wrong = phone_of(stage, server, Nonsense(), name="wrong")
    net.wait_for("nonsense to be answered by the end", lambda: wrong.over, 10)
    assert "first message must be" in wrong.told or "no JSON" in wrong.told, wrong.told
    # Tokens are not to be guessed.
    codes = [status_of(server, "/media/nightline", f"guess-{n}")[0] for n in range(12)]
    assert codes[0] == 401 and codes[-1] == 429, codes
    # Who knows it is let in also from there.
    assert status_of(server, "/media/nightline", TOKEN)[0] == 101
    hears.wait_for_turn()
    before = hears.now()
    phone.say(audio.utterance("demo", 2))
    hears.wait_for_turn(since=before)
    phone.stop()
    record = server.record()
    understood(record, "首保是免费的吗")
    assert "panicked" not in server.text(), "a task of the server panicked"


class Nonsense(stream_phone.Nightline):
    """Begins with what is no beginning."""

    def begin(self, number):
        return ['{"type":"dtmf","digit":"1"}']


def calls_beyond_the_limit_of_streams_are_refused(stage):
    port = net.free_ports()[0]
    media = f'[media]\nlisten = "127.0.0.1:{port}"\ntoken = "{TOKEN}"\nmax_streams = 1\n'
    server = stage.server(extra=media)
    server.websockets = port
    phone = phone_of(stage, server, stream_phone.Nightline())
    phone.established()
    code, told = status_of(server, "/media/nightline", TOKEN)
    assert code == 503 and "later" in told, (code, told)
    phone.stop()
    server.record()
    assert status_of(server, "/media/nightline", TOKEN)[0] == 101


ALL = checks_of(globals())
