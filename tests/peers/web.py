"""Calls from web pages by WebRTC. Each check is a function whose name is a sentence."""

import json

import audio
import net
import rtc_phone
from checks import ask_and_be_answered, asked_and_answered, checks_of, understood
from rtc_phone import request
from streams import TOKEN, server_with_streams, whole_conversation
from transfers import hears_summary, seat_uri

OFFER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef01234567
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=rtcp-mux
a=sendrecv
a=rtpmap:111 opus/48000/2
""".format(fingerprint=":".join(["AB"] * 32)).replace("\n", "\r\n")


def pass_of(server, number="13812345678", **more):
    """A pass for a web page, as the website's server asks for it."""
    body = json.dumps({"from": number} | more)
    status, _, answer = request(server.websockets, "POST", "/media/passes", body, TOKEN, "application/json")
    assert status == 201, f"{status} {answer}"
    return json.loads(answer)["pass"]


def aiortc_carries_a_whole_conversation(stage):
    make = lambda stage, server, _: stage.keep(rtc_phone.Aiortc(stage.folder / "phone", server.websockets, TOKEN))
    phone = whole_conversation(stage, None, "webrtc", keys=False, clears=False, make=make)
    words = [event for event in phone.told if event["type"] == "transcript" and event["final"]]
    assert words, f"the page was not told what was heard: {phone.told}"
    kinds = [event.get("state") for event in phone.told if event["type"] == "transfer"]
    assert "joined" in kinds, kinds


def aiortc_in_a_law_is_understood(stage):
    server = server_with_streams(stage)
    phone = stage.keep(rtc_phone.Aiortc(stage.folder / "phone", server.websockets, TOKEN, codec="PCMA"))
    ask_and_be_answered(server, phone, phone.established())
    phone.stop()
    record = server.record()
    asked_and_answered(record)
    assert record["media"][0]["codec"] == "PCMA", record["media"]


def the_page_in_chromium_carries_a_whole_conversation(stage):
    seat = stage.baresip(answers=True)
    server = server_with_streams(stage, seats=[seat_uri(seat)])
    pause = lambda seconds: bytes(2 * int(audio.RATE * seconds))
    # Asks after the greeting, and long after it has asked for a person by a key talks to that person.
    words = [pause(14), audio.utterance("demo", 2), pause(35)] + [audio.utterance("own-words", 0), pause(3)] * 4
    pass_ = pass_of(server)
    page = stage.keep(rtc_phone.Chromium(stage.folder / "page", server.websockets, pass_, b"".join(words)))
    assert page.state() == "idle"
    page.click("call")
    net.wait_for("the page to be connected", lambda: page.state() == "up", 15)
    assert page.hears() > 0.02, "the greeting is not heard"
    net.wait_for("the page to show the question", lambda: any("首保" in text for text in page.lines("caller")), 30)
    net.wait_for("the page to show the greeting and the answer", lambda: len(page.lines("bot")) >= 2, 30)
    page.evaluate("[...document.querySelectorAll('#keys button')].find((key) => key.textContent === '0').click()")
    seat_hears = hears_summary(seat, 30)
    seat.do("sndcode", 1)
    net.wait_for("the page to say that a person is there", lambda: "人工客服已接入。" in page.lines("news"), 15)
    before = seat_hears.now()
    seat.say(audio.utterance("own-words", 1) * 3)
    assert page.hears() > 0.02, "the seat is not heard"
    seat_hears.wait_for_voice(25, since=before, amount=1.0)
    caller, bot = page.lines("caller"), page.lines("bot")
    assert caller and len(bot) >= 2, (caller, bot)
    page.screenshot(stage.folder / "page.png")
    page.click("hangup")
    net.wait_for("the seat's call to be ended too", seat.closed, 10)
    assert page.state() == "over"
    record = server.record()
    understood(record, "首保是免费的吗")
    assert (record["door"], record["from"], record["disposition"]) == ("webrtc", "13812345678", "transferred"), record
    assert record["media"][0]["codec"] == "opus", record["media"]


def the_page_says_when_the_bot_has_ended_the_call(stage):
    server = server_with_streams(stage)
    page = stage.keep(rtc_phone.Chromium(stage.folder / "page", server.websockets, pass_of(server), b""))
    page.click("call")
    net.wait_for("the page to be connected", lambda: page.state() == "up", 15)
    server.stop()
    net.wait_for("the page to notice the end", lambda: page.state() in ("over", "lost"), 20)


def bad_calls_of_web_pages_are_refused_clearly_and_the_others_go_on(stage):
    server = server_with_streams(stage)
    port = server.websockets
    phone = stage.keep(rtc_phone.Aiortc(stage.folder / "phone", port, TOKEN))
    hears = phone.established()
    offer = lambda body, token=TOKEN, **more: request(port, "POST", "/media/webrtc", body, token, **more)
    assert offer(OFFER, token=None)[0] == 401
    assert offer(OFFER, token="wrong")[0] == 401
    assert request(port, "POST", "/media/passes", '{"from": "1"}', pass_of(server), "application/json")[0] == 401
    assert request(port, "POST", "/media/passes", '{"from": "1", "seconds": 0}', TOKEN, "application/json")[0] == 400
    assert offer(OFFER, token=pass_of(server, "13912345678").replace("139", "138"))[0] == 401
    assert offer(OFFER, content="application/json")[0] == 415
    for body, word in [("hello", "no SDP"), (OFFER.replace("opus", "isac"), "isac"), (OFFER.replace("a=ice-ufrag", "a=x"), "ice-ufrag")]:
        status, _, told = offer(body)
        assert status == 400 and word in json.loads(told)["error"], (status, told)
    assert offer(OFFER + "a=x:y\r\n" * 20_000)[0] == 413
    for method, path in [("DELETE", ""), ("PATCH", ""), ("GET", "/events")]:
        assert request(port, method, f"/media/webrtc/{'0' * 32}{path}", "" if method == "PATCH" else None)[0] == 404
    # Who never comes is waited for, but only for some at a time.
    answers = [offer(OFFER) for _ in range(24)]
    codes = [status for status, _, _ in answers]
    assert codes.count(201) >= 16 and 503 in codes, codes
    nonsense = request(port, "PATCH", answers[0][1]["Location"], "a=candidate:nonsense\r\n" * 3, content="application/trickle-ice-sdpfrag")
    assert nonsense[0] == 204, nonsense
    assert request(port, "DELETE", answers[0][1]["Location"])[0] == 200
    net.wait_for("a place to be free again", lambda: offer(OFFER)[0] == 201, 5)
    ask_and_be_answered(server, phone, hears)
    phone.stop()
    understood(server.record(), "首保是免费的吗")
    assert "panicked" not in server.text(), "a task of the server panicked"


ALL = checks_of(globals())
