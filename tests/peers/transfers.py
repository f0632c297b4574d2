"""Callers and seats with real SIP and RTP: each way that a transfer can go. Each check is a function whose name is a sentence."""

import array
import json
import math
import random
import shutil
import socket
import threading
import time
from difflib import SequenceMatcher
from pathlib import Path

import audio
import net
from checks import ask_and_be_answered, asked_and_answered, checks_of, interrupt, said, talk_to_each_other

ROOT = Path(__file__).resolve().parents[2]

SEAT = """\
[[seats.seat]]
id = "{id}"
uri = "{uri}"
"""


class Refuser:
    """A telephone that answers every INVITE with one status."""

    def __init__(self, status):
        self.status = status
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.invited = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except OSError:
                return
            lines = data.decode(errors="replace").split("\r\n")
            if not lines[0].startswith("INVITE"):
                continue
            self.invited += 1
            kept = [line for line in lines[1:] if line.lower().startswith(("via:", "from:", "call-id:", "cseq:"))]
            to = next(line for line in lines if line.lower().startswith("to:"))
            answer = [f"SIP/2.0 {self.status}", *kept, f"{to};tag=refused", "Content-Length: 0", "", ""]
            self.socket.sendto("\r\n".join(answer).encode(), peer)

    def stop(self):
        self.socket.close()


def tenant(stage, edit):
    """A copy of the reference tenant, changed by `edit(folder)`; the lines of the configuration that name it."""
    folder = stage.folder / "tenants"
    shutil.copytree(ROOT / "tenants/nev", folder / "nev")
    edit(folder / "nev")
    return f'[tenant]\nname = "nev"\nfolder = "{folder}"\n'


def awake(folder):
    """Customers may be called at any hour, so that a check may run at any hour."""
    file = folder / "tenant.toml"
    text = file.read_text("utf-8")
    assert 'quiet = ["21:00", "09:00"]' in text, "the tenant's quiet hours are written otherwise"
    file.write_text(text.replace('quiet = ["21:00", "09:00"]', ""), "utf-8")


def order(server, stage):
    """The only order for a call, once an attempt has ended."""

    def ended():
        orders = server.command("outbound", "list", "--all")
        assert len(orders) == 1, orders
        return orders[0] if orders[0]["attempts"] and orders[0]["state"] != "calling" else None

    return net.wait_for("an attempt to end", ended, 30, every=0.5)


def seat_uri(seat):
    return f"sip:peer@127.0.0.1:{seat.port}"


def wants_a_person(server, phone, uri=None):
    """Calls and presses 0 while it is greeted; gives what is heard."""
    phone.do("dial", uri or server.uri())
    hears = phone.established()
    hears.wait_for_voice(15)
    phone.do("sndcode", 0)
    return hears


def hears_summary(seat, seconds=25):
    hears = seat.established(seconds)
    hears.wait_for_voice(15, amount=1.0)
    return hears


def records(server, count):
    """The records of the newest `count` calls, all of which have ended; newest first."""

    def ended():
        calls = server.calls()[:count]
        if len(calls) < count or not all(call["disposition"] for call in calls):
            return None
        return [server.command("calls", "show", call["id"]) for call in calls]

    return net.wait_for(f"{count} records", ended, 10.0, every=0.2)


def recognised(server, folder, recording):
    """The words of a recording, by the recogniser that callers are heard with."""
    folder.mkdir()
    spoken = recording.utterances()
    items = []
    for n, samples in enumerate(spoken):
        audio.write(folder / f"{n}.wav", samples, silence_before=0.3, silence_after=0.5)
        item = {"wav": f"{n}.wav", "text": "无", "lang": "zh", "set": "a", "condition": "a", "voice": "a", "kind": "a"}
        items.append(json.dumps(item))
    (folder / "manifest.jsonl").write_text("\n".join(items) + "\n", "utf-8")
    details = folder / "details.jsonl"
    server.run("asr", "eval", folder, "--details", details, "--noise", "0")
    return "".join(json.loads(line)["heard"] for line in details.read_text("utf-8").splitlines())


def failures(record):
    return [failed["outcome"] for failed in record["handoff"].get("failed", [])]


def the_seat_hears_who_calls_and_why(stage):
    seat = stage.baresip(answers=True)
    server, phone = stage.server(seats=[seat_uri(seat)]), stage.baresip(user="13812345678")
    phone.do("dial", server.uri())
    ask_and_be_answered(server, phone, phone.established())
    phone.do("sndcode", 0)
    seat_hears = hears_summary(seat)
    seat_hears.wait_for_turn(20)
    seat.do("sndcode", 1)
    time.sleep(2)
    phone.do("hangup")
    summary = server.record()["handoff"]["summary"]
    heard = recognised(server, stage.folder / "summary", seat_hears)
    # Digits are read one by one and recognised as words: what is left is what a seat must not need to ask.
    han = lambda text: "".join(c for c in text if "一" <= c <= "鿿")
    same = SequenceMatcher(None, han(summary), han(heard), autojunk=False).get_matching_blocks()
    share = sum(block.size for block in same) / len(han(summary))
    assert share >= 0.6, f"the seat heard “{heard}” of “{summary}” ({share:.0%})"
    assert "首" in summary, f"the summary does not tell what was asked: {summary}"


def two_callers_are_joined_with_two_seats(stage):
    seats = [stage.baresip(answers=True) for _ in range(2)]
    server = stage.server(seats=[seat_uri(seat) for seat in seats])
    phones = [stage.baresip() for _ in range(2)]
    hears, seats_hear = [], []
    for phone in phones:
        hears.append(wants_a_person(server, phone))
        taken = net.wait_for(
            "a seat to be called", lambda: next((s for s in seats if s not in [p[0] for p in seats_hear] and s.hears()), None), 20
        )
        seats_hear.append((taken, hears_summary(taken)))
        taken.do("sndcode", 1)
    for phone, heard, (seat, seat_hears) in zip(phones, hears, seats_hear, strict=True):
        talk_to_each_other(phone, heard, seat, seat_hears)
    for phone in phones:
        phone.do("hangup")
    for record in records(server, 2):
        assert record["handoff"]["outcome"] == "accepted", record["handoff"]


def a_declined_call_goes_to_the_next_seat(stage):
    seats = [stage.baresip(answers=True) for _ in range(2)]
    server = stage.server(seats=[seat_uri(seat) for seat in seats])
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    hears_summary(seats[0])
    seats[0].do("sndcode", 2)
    seat_hears = hears_summary(seats[1])
    seats[1].do("sndcode", 1)
    talk_to_each_other(phone, hears, seats[1], seat_hears)
    phone.do("hangup")
    record = server.record()
    assert failures(record) == ["declined"], record["handoff"]
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]


def a_busy_seat_and_one_that_does_not_answer_give_way_to_the_third(stage):
    busy, silent, willing = Refuser("486 Busy Here"), stage.baresip(), stage.baresip(answers=True)
    stage.keep(busy)
    server = stage.server(seats=[seat_uri(seat) for seat in (busy, silent, willing)])
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    seat_hears = hears_summary(willing, 40)
    willing.do("sndcode", 1)
    talk_to_each_other(phone, hears, willing, seat_hears)
    phone.do("hangup")
    record = server.record()
    assert failures(record) == ["busy", "no_answer"], record["handoff"]
    assert record["handoff"]["failed"][0]["code"] == 486, record["handoff"]
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]


def seats_that_ring_together_stop_when_one_answers(stage):
    ringing, willing = stage.baresip(), stage.baresip(answers=True)
    extra = "".join(SEAT.format(id=seat.port, uri=seat_uri(seat)) for seat in (ringing, willing))
    server = stage.server(extra="[seats]\nparallel = 2\nring_timeout_s = 20\n" + extra, plain_seats=False)
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    seat_hears = hears_summary(willing)
    net.wait_for("the other telephone to be silent", ringing.closed, 5)
    willing.do("sndcode", 1)
    talk_to_each_other(phone, hears, willing, seat_hears)
    phone.do("hangup")
    assert server.record()["handoff"]["outcome"] == "accepted"


def a_seat_that_dies_in_the_bridge_gives_the_caller_back(stage):
    seat = stage.baresip(answers=True)
    server = stage.server(seats=[seat_uri(seat)], rtp_timeout=5)
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    seat_hears = hears_summary(seat)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    seat.process.kill()
    before = hears.now() + 50
    hears.wait_for_turn(20, since=before)
    phone.do("hangup")
    record = server.record()
    assert record["disposition"] == "transferred", record["disposition"]
    assert "离开" in said(record, "bot")[-1], said(record, "bot")


def a_caller_who_leaves_while_the_seat_rings_stops_the_ringing(stage):
    seat = stage.baresip()
    server = stage.server(seats=[seat_uri(seat)])
    phone = stage.baresip()
    wants_a_person(server, phone)
    net.wait_for("the seat to ring", lambda: "Incoming call" in seat.text() or "incoming" in seat.text().lower(), 10)
    phone.do("hangup")
    record = server.record()
    assert record["handoff"]["outcome"] == "caller_gone", record["handoff"]
    net.wait_for("the seat's telephone to be silent", seat.closed, 3)


def a_waiting_caller_is_served_on_and_then_gets_the_seat(stage):
    seat = stage.baresip(answers=True)
    extra = SEAT.format(id="1001", uri=seat_uri(seat))
    server = stage.server(extra="[seats]\nwrap_up_s = 0\nring_timeout_s = 8\n" + extra, plain_seats=False)
    first, second = stage.baresip(), stage.baresip()
    wants_a_person(server, first)
    hears_summary(seat)
    seat.do("sndcode", 1)
    hears = wants_a_person(server, second)
    time.sleep(20)  # the greeting, the announcement, and its place in the queue
    second.say(audio.utterance("demo", 2))
    time.sleep(9)
    calls = len(list(seat.rec.glob("dump-*-dec.wav")))
    first.do("hangup")
    net.wait_for("the seat to be called again", lambda: len(list(seat.rec.glob("dump-*-dec.wav"))) > calls, 15)
    seat_hears = seat.hears()
    seat_hears.wait_for_voice(15, amount=1.0)
    seat.do("sndcode", 1)
    talk_to_each_other(second, hears, seat, seat_hears)
    second.do("hangup")
    record = records(server, 2)[0]
    told = "".join(said(record, "bot"))
    assert "下一位" in told, f"it was not told its place: {told}"
    assert "maint-first" in [s for turn in record["turns"] for s in turn["sources"]], f"nobody served it: {told}"
    assert record["handoff"]["outcome"] == "accepted", record["handoff"]


def nobody_on_duty_is_told_with_the_time_and_a_call_back_is_offered(stage):
    seat = stage.baresip(answers=True)

    def half_a_day_away(folder):
        hour = time.gmtime(time.time() + (8 + 12) * 3600).tm_hour
        with open(folder / "calendar.toml", "a", encoding="utf-8") as calendar:
            calendar.write('\n[[schedule]]\nid = "far"\nname = "远"\nname_en = "far"\n')
            for days in ("mon-fri", "sat-sun"):
                calendar.write(f'hours.{days} = ["{hour:02}:00-{hour:02}:01"]\n')
            calendar.write('holiday = "as usual"\nmakeup = "as usual"\n')

    extra = SEAT.format(id="1001", uri=seat_uri(seat)) + 'schedule = "far"\n'
    server = stage.server(extra=extra + tenant(stage, half_a_day_away))
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    hears.wait_for_turn(20, since=hears.now())
    phone.do("hangup")
    record = server.record()
    assert record["handoff"]["outcome"] == "out_of_hours", record["handoff"]
    told = said(record, "bot")[-1]
    assert "点" in told and "上班" in told and "回电" in told, told
    assert not seat.hears(), "a seat that is off duty was called"


def a_seat_that_is_away_is_not_called_also_after_a_restart(stage):
    seat = stage.baresip(answers=True)
    server = stage.server(extra=SEAT.format(id="1001", uri=seat_uri(seat)))
    server.command("seats", "list")
    server.run("seats", "away", "1001")
    server.kill()
    server.start()
    net.wait_for("the server to answer", server.answers, 30)
    time.sleep(3)
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    hears.wait_for_turn(20, since=hears.now())
    phone.do("hangup")
    assert server.record()["handoff"]["outcome"] == "no_seat"
    assert not seat.hears(), "the seat was called"


def wideband(stage, codec, offered, rate=audio.RATE):
    """A whole conversation of a telephone that speaks nothing but `codec`: understood, interrupting, joined with a seat in A-law."""
    seat = stage.baresip(answers=True)
    server = stage.server(seats=[seat_uri(seat)])
    phone = stage.baresip(codecs=offered, rate=rate, settings=f"module {codec.lower()}.so\n")
    phone.do("dial", server.uri())
    hears = phone.established()
    interrupt(phone, hears, since=hears.wait_for_turn())
    before = hears.now()
    phone.say(audio.utterance("demo", 2))
    hears.wait_for_turn(since=before)
    phone.say(audio.utterance("demo", 3))
    seat_hears = hears_summary(seat, 30)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    phone.do("hangup")
    record = server.record()
    asked_and_answered(record)
    assert record["barge_ins"] >= 1, "nobody was interrupted"
    assert record["disposition"] == "transferred", record["disposition"]
    codecs = {media["leg"]: media["codec"] for media in record["media"]}
    assert codecs == {"caller": codec, "seat": "PCMA"}, codecs


def baresip_in_g722_has_a_whole_conversation(stage):
    wideband(stage, "G722", "G722/16000/1", rate=16000)


def baresip_in_opus_has_a_whole_conversation(stage):
    wideband(stage, "opus", "opus/48000/2")


def the_bridge_has_no_gap(stage):
    seat = stage.baresip(answers=True)
    server = stage.server(seats=[seat_uri(seat)])
    phone = stage.baresip()
    hears = wants_a_person(server, phone)
    hears_summary(seat)
    noise = random.Random(7)
    samples = array.array("h", (noise.randint(-9000, 9000) for _ in range(audio.RATE * 12)))
    seat.say(samples.tobytes())
    time.sleep(1)
    seat.do("sndcode", 1)
    time.sleep(5)
    phone.do("hangup")
    # The noise is louder than speech and music: from its first frame on there is no other.
    data = Path(hears.path).read_bytes()[44:]
    heard = array.array("h", data[: len(data) // 2 * 2])
    level = [sum(map(abs, heard[at : at + 160])) / 160 for at in range(0, len(heard) - 159, 160)]
    loud = [value > 2500 for value in level]
    joined = next(n for n in range(len(loud)) if all(loud[n : n + 10]))
    last = max(n for n, is_loud in enumerate(loud) if is_loud)
    gap = longest = 0
    for is_loud in loud[joined:last]:
        gap = 0 if is_loud else gap + 1
        longest = max(longest, gap)
    assert last - joined > 100, f"only {last - joined} frames of the seat were heard"
    assert longest * 20 <= 60, f"a gap of {longest * 20} ms after the seat was joined"
    record = server.record()
    music = [text for text in said(record) if text.strip()]
    assert not music, f"the recogniser heard something while nobody spoke: {music}"


def a_caller_who_waited_when_the_power_went_is_called_back(stage):
    seat, customer = stage.baresip(), stage.baresip(answers=True)
    extra = SEAT.format(id="1001", uri=seat_uri(seat))
    extra += f'[outbound]\nroute = "sip:{{number}}@127.0.0.1:{customer.port}"\n'
    server = stage.server(extra=extra)
    phone = stage.baresip(user="13812345678")
    wants_a_person(server, phone)
    net.wait_for("the seat to ring", lambda: server.calls() and "ncoming" in seat.text(), 10)
    time.sleep(0.5)
    server.kill()
    server.start()
    net.wait_for("the server to answer", server.answers, 30)
    open_ones = server.command("callbacks", "list")
    assert [c["number"] for c in open_ones] == ["13812345678"], open_ones
    orders = server.command("outbound", "list")
    assert len(orders) == 1 and orders[0]["kind"] == "callback", orders
    server.kill()
    server.start()
    net.wait_for("the server to answer", server.answers, 30)
    assert len(server.command("outbound", "list")) == 1, "one more promise with each restart"


def a_customer_is_called_back_and_joined_with_a_seat(stage):
    seat, customer = stage.baresip(answers=True), stage.baresip(answers=True)
    extra = SEAT.format(id="1001", uri=seat_uri(seat))
    extra += f'[outbound]\nroute = "sip:peer@127.0.0.1:{customer.port};number={{number}}"\n' + tenant(stage, awake)
    server, phone = stage.server(extra=extra), stage.baresip(user="13812345678")
    wants_a_person(server, phone)
    net.wait_for("the seat to be called", lambda: "established" in seat.text(), 15)
    time.sleep(0.5)
    server.kill()
    seat.do("hangup")
    phone.do("hangup")
    server.start()
    net.wait_for("the server to answer", server.answers, 30)
    hears = customer.established(30)
    hears.wait_for_voice(20, amount=3.0)
    net.wait_for("the seat to be called", lambda: len(list(seat.rec.glob("dump-*-dec.wav"))) > 1, 30)
    seat_hears = seat.hears()
    seat_hears.wait_for_voice(15, amount=1.0)
    seat.do("sndcode", 1)
    talk_to_each_other(customer, hears, seat, seat_hears)
    customer.do("hangup")
    placed = order(server, stage)
    assert (placed["state"], placed["attempts"], placed["outcome"]) == ("done", 1, "transferred"), placed
    assert server.command("callbacks", "list") == [], "the call-back is still open"


def a_reminder_is_left_with_a_machine_after_its_tone(stage):
    announcement = audio.utterance("demo", 2) + audio.utterance("demo", 0) + audio.utterance("demo", 2)
    tone = array.array("h", (int(9000 * math.sin(2 * math.pi * 1000 * t / 8000)) for t in range(4000)))
    machine = stage.baresip(answers=True, speaks=announcement + tone.tobytes())
    extra = f'[outbound]\nroute = "sip:peer@127.0.0.1:{machine.port};number={{number}}"\n' + tenant(stage, awake)
    server = stage.server(extra=extra)
    server.run("outbound", "add", "13812345678", "您明天下午两点有一个保养预约。", "--key", "visit-7")
    hears = machine.established(20)
    spoken = len(announcement) / 2 / audio.RATE
    began = hears.wait_for_voice(30)
    assert began * 0.02 > spoken, f"it spoke after {began * 0.02:.1f} s, into the announcement of {spoken:.1f} s"
    placed = order(server, stage)
    assert (placed["state"], placed["outcome"]) == ("done", "machine"), placed
    told = "".join(said(server.record(), "bot"))
    assert "保养预约" in told, told


ALL = checks_of(globals())
