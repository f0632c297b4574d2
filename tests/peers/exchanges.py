"""A Nightline behind a real exchange (sip/profiles). Each check is a function whose name is a sentence."""

import subprocess
import time

import net
from checks import ask_and_be_answered, asked_and_answered, checks_of, said, talk_to_each_other
from exchange import Kamailio
from transfers import SEAT, hears_summary, wants_a_person


def behind_kamailio(stage, seat="", **options):
    """The exchange and the server behind it; `seat` are more lines for the seat 1001, which is called through the exchange."""
    port = net.free_ports()[0]
    exchange = stage.keep(Kamailio(stage.folder / "kamailio", port))
    extra = SEAT.format(id="1001", uri=exchange.uri("1001")) + seat
    return exchange, stage.server(port=port, extra=extra, plain_seats=False, **options)


def seat_of(stage, exchange):
    """A seat's telephone that has registered at the exchange."""
    seat = stage.baresip(answers=True, user="1001", registrar=exchange.port)
    net.wait_for("the seat's registration", lambda: "200 OK" in seat.text(), 10)
    return seat


def a_call_through_kamailio_is_understood(stage):
    exchange, server = behind_kamailio(stage)
    phone = stage.baresip()
    phone.do("dial", exchange.uri("hotline"))
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    asked_and_answered(server.record())


def a_seat_behind_kamailio_is_brought_in(stage):
    exchange, server = behind_kamailio(stage)
    seat, phone = seat_of(stage, exchange), stage.baresip()
    phone.do("dial", exchange.uri("hotline"))
    hears = phone.established()
    hears.wait_for_voice(15)
    phone.do("sndcode", 0)
    seat_hears = hears_summary(seat)
    seat.do("sndcode", 1)
    talk_to_each_other(phone, hears, seat, seat_hears)
    seat.do("hangup")
    # The end of the seat's call comes through the exchange, too.
    net.wait_for("the bot to be back", lambda: "离开" in "".join(said(server.running(), "bot")), 15)
    phone.do("hangup")
    assert server.record()["handoff"]["outcome"] == "accepted"


def a_caller_is_given_to_a_seat_by_its_own_telephone_through_kamailio(stage):
    exchange, server = behind_kamailio(stage, seat="refer = true\n")
    seat, phone = seat_of(stage, exchange), stage.baresip()
    wants_a_person(server, phone, exchange.uri("hotline"))
    seat_hears = seat.established(30)
    record = server.record(15)
    assert record["disposition"] == "transferred", record["disposition"]
    assert (record["handoff"]["outcome"], record["handoff"]["referred"]) == ("accepted", True), record["handoff"]
    # We are gone; they talk with each other.
    time.sleep(1)
    hears = phone.hears()
    talk_to_each_other(phone, hears, seat, seat_hears)
    phone.do("hangup")


def a_caller_whose_seat_is_not_there_stays_with_us_through_kamailio(stage):
    exchange, server = behind_kamailio(stage, seat="refer = true\n")
    phone = stage.baresip()
    wants_a_person(server, phone, exchange.uri("hotline"))
    net.wait_for("the offer of a call-back", lambda: "回电" in "".join(said(server.running(), "bot")), 40)
    phone.do("hangup")
    record = server.record()
    assert record["handoff"]["outcome"] != "accepted", record["handoff"]
    assert record["handoff"]["failed"], record["handoff"]


def a_nightline_that_registers_is_called_by_the_exchange(stage):
    port = net.free_ports()[0]
    exchange = stage.keep(Kamailio(stage.folder / "kamailio", port))
    registration = f'[[registration]]\nregistrar = "sip:127.0.0.1:{exchange.port}"\naor = "{exchange.uri("400")}"\n'
    server, phone = stage.server(port=port, extra=registration), stage.baresip()
    net.wait_for("the registration", lambda: "registered" in server.text(), 10)
    phone.do("dial", exchange.uri("400"))
    ask_and_be_answered(server, phone, phone.established())
    phone.do("hangup")
    asked_and_answered(server.record())


def the_doctor_tells_what_an_exchange_answers(stage):
    exchange, server = behind_kamailio(stage)
    found = server.command("doctor", "sip")
    assert [one["check"] for one in found] == ["exchange", "our address"], found
    assert "kamailio" in found[0]["found"].lower() and found[1]["state"] == "good", found
    ask = lambda config, *target: subprocess.run(
        [stage.binary, "doctor", "sip", *target, "--config", str(config)], capture_output=True, text=True, timeout=30
    )
    closed = ask(server.config, "sip:127.0.0.1:9;transport=tcp")
    assert closed.returncode == 1 and "sip:127.0.0.1:9" in closed.stdout, closed
    registration = f'[[registration]]\nregistrar = "sip:127.0.0.1:9;transport=tcp"\naor = "{exchange.uri("400")}"\n'
    lost = stage.folder / "lost.toml"
    lost.write_text(server.config.read_text() + registration)
    told = ask(lost, "--register")
    assert told.returncode == 1 and "is not registered at" in told.stdout, told


def callers_from_elsewhere_are_refused(stage):
    server, phone = stage.server(sip_extra='allow = ["10.0.0.0/8"]\n'), stage.baresip()
    phone.do("dial", server.uri())
    net.wait_for("the refusal", lambda: "403 Forbidden" in phone.text(), 10)
    assert server.answers(), "the server does not answer any more"
    assert not server.calls(), "a call was taken"


ALL = checks_of(globals())
