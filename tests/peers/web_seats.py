"""Seats that answer in a page of the server. Each check is a function whose name is a sentence."""

import contextlib
import http.client
import json
import socket
import threading

import audio
import net
import rtc_phone
from checks import ask_and_be_answered, asked_and_answered, checks_of
from rtc_phone import request
from streams import TOKEN, server_with_streams
from transfers import SEAT, failures, hears_summary, seat_uri, wants_a_person
from web import OFFER, pass_of

PAGE = """\
[[seats.seat]]
id = "{id}"
browser = true
"""


class Page:
    """What a page does that waits for calls, without a browser around it."""

    def __init__(self, port, pass_, seat=""):
        self.port, self.told = port, []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", f"/media/seats{seat}", headers={"Authorization": f"Bearer {pass_}"})
        # The answer takes the socket along.
        self._socket = self._connection.sock
        answer = self._connection.getresponse()
        self.status = answer.status
        if self.status == 200:
            threading.Thread(target=self._follow, args=[answer], daemon=True).start()
            self.name = self.waits_for("open")["page"]

    def _follow(self, answer):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            for line in answer:
                if line.startswith(b"data:"):
                    self.told.append(json.loads(line[5:]))
        self.told.append({"type": "closed"})

    def waits_for(self, kind, seconds=30):
        return net.wait_for(f"a page to be told {kind}", lambda: next((one for one in self.told if one["type"] == kind), None), seconds)

    def answer(self, ring, method, body=None):
        return request(self.port, method, f"/media/seats/{self.name}/{ring}", body)

    def stop(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def pass_for(server, seat):
    status, _, answer = request(server.websockets, "POST", "/media/passes", json.dumps({"seat": seat}), TOKEN, "application/json")
    assert status == 201, f"{status} {answer}"
    assert json.loads(answer)["page"].startswith("/seat#pass="), answer
    return json.loads(answer)["pass"]


def server_with_pages(stage, *seats, more=""):
    seats = "".join(PAGE.format(id=seat) for seat in seats)
    return server_with_streams(stage, extra=f"[seats]\nring_timeout_s = 4\n{seats}{more}", plain_seats=False)


def a_seat_answers_in_its_page_in_chromium(stage):
    server, phone = server_with_pages(stage, "2001"), stage.baresip(user="13812345678")
    pause = lambda seconds: bytes(2 * int(audio.RATE * seconds))
    # Its microphone is opened when it answers: silent while it is told what it is about, then it talks.
    words = [pause(15)] + [audio.utterance("own-words", 1), pause(3)] * 8
    page = stage.keep(
        rtc_phone.Chromium(stage.folder / "page", server.websockets, pass_for(server, "2001"), b"".join(words), page="seat", size="1000,1000")
    )
    assert page.state() == "off"
    page.click("on")
    net.wait_for("the page to wait for calls", lambda: page.state() == "ready", 15)
    phone.do("dial", server.uri())
    hears = phone.established()
    ask_and_be_answered(server, phone, hears)
    phone.do("sndcode", 0)
    net.wait_for("the page to ring", lambda: page.state() == "ringing", 20)
    page.screenshot(stage.folder / "ringing.png")
    assert "13812345678" in page.text("about"), page.text("about")
    page.click("answer")
    net.wait_for("the page to be connected", lambda: page.state() == "up", 10)
    net.wait_for("the summary to be heard", lambda: page.hears(1.0) > 0.02, 15)
    transcript = "document.getElementById('screen').contentDocument?.body?.textContent ?? ''"
    net.wait_for("the page to show what the caller asked", lambda: "首保" in page.evaluate(transcript), 15)
    page.click("join")
    before = hears.now()
    hears.wait_for_voice(30, since=before, amount=2.0)
    phone.say(audio.utterance("own-words", 0) * 3)
    net.wait_for("the caller to be heard", lambda: page.hears(1.0) > 0.02, 15)
    page.screenshot(stage.folder / "page.png")
    phone.do("hangup")
    net.wait_for("the page to wait again", lambda: page.state() == "ready", 10)
    record = server.record()
    asked_and_answered(record)
    assert record["disposition"] == "transferred" and record["handoff"]["outcome"] == "accepted", record["handoff"]
    assert record["handoff"]["seats"] == ["2001"], record["handoff"]
    assert [media["codec"] for media in record["media"] if media["leg"] == "seat"] == ["opus"], record["media"]


def a_page_that_declines_does_not_answer_or_closes_gives_way_to_the_next_seat(stage):
    seat = stage.baresip(answers=True)
    server = server_with_pages(stage, "2001", "2002", "2003", "2004", more=SEAT.format(id="1001", uri=seat_uri(seat)))
    # All have been idle for as long, so they are called in this order, and the telephone last.
    pages = [stage.keep(Page(server.websockets, pass_for(server, f"200{n}"))) for n in (1, 2, 3, 4)]
    phone = stage.baresip(user="13812345678")
    wants_a_person(server, phone)
    declines, breaks, closes, sleeps = pages
    acts = [
        lambda ring: declines.answer(ring, "DELETE"),
        lambda ring: breaks.answer(ring, "POST", OFFER.replace("opus", "isac")),
        lambda ring: closes.stop(),
        lambda ring: None,
    ]

    for page, act in zip(pages, acts):
        ring = page.waits_for("ring")
        assert ring["caller"] == "13812345678" and ring["reason"] == "key_zero", ring
        assert ring["key"] and ring["language"] == "zh", ring
        act(ring["ring"])
    hears_summary(seat, 60)
    assert sleeps.waits_for("quiet")["ring"] == sleeps.waits_for("ring")["ring"]
    assert sleeps.answer(sleeps.waits_for("ring")["ring"], "POST", OFFER)[0] == 404, "it is too late"
    seat.do("sndcode", 1)
    phone.do("hangup")
    record = server.record()
    outcomes = {failed["seat"]: failed["outcome"] for failed in record["handoff"].get("failed", [])}
    # A page that is closed may come back, so it rings on elsewhere as long as a page rings.
    assert outcomes.pop("2003") in ("unreachable", "no_answer"), failures(record)
    assert outcomes == {"2001": "declined", "2002": "unreachable", "2004": "no_answer"}, failures(record)


def a_page_is_only_for_its_seat_and_the_newest_is_the_one(stage):
    server = server_with_pages(stage, "2001")
    port = server.websockets
    make = lambda pass_, seat="": stage.keep(Page(port, pass_, seat))
    assert make("wrong").status == 401
    assert make(pass_of(server)).status == 401, "a caller is no seat"
    assert make(TOKEN, "?seat=1001").status == 404
    assert make(TOKEN, "?seat=2001").status == 200
    unknown = request(port, "POST", "/media/passes", '{"seat": "1001"}', TOKEN, "application/json")
    assert unknown[0] == 404 and "browser" in unknown[2], unknown
    for body in ("{}", '{"seat": "2001", "from": "1"}'):
        assert request(port, "POST", "/media/passes", body, TOKEN, "application/json")[0] == 400
    assert request(port, "POST", "/media/webrtc", OFFER, pass_for(server, "2001"))[0] == 401, "a seat is no caller"
    first = make(pass_for(server, "2001"))
    second = make(pass_for(server, "2001"))
    first.waits_for("replaced")
    first.waits_for("closed")
    for method, body in (("POST", OFFER), ("DELETE", None)):
        assert request(port, method, f"/media/seats/{second.name}/{'0' * 32}", body)[0] == 404
    phone = stage.baresip()
    wants_a_person(server, phone)
    ring = second.waits_for("ring")
    assert not any(one["type"] == "ring" for one in first.told)
    assert first.answer(ring["ring"], "DELETE")[0] == 404, "it is another page's"
    # The caller leaves.
    phone.do("hangup")
    assert second.waits_for("quiet")["ring"] == ring["ring"]
    assert "panicked" not in server.text(), "a task of the server panicked"


ALL = checks_of(globals())
