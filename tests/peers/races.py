"""Signalling by sipp that is late, early, doubled or demanding. Each check is a function whose name is a sentence."""

import re

from checks import checks_of

HEAD = """
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
      To: <sip:hotline@[remote_ip]:[remote_port]>{tag}
      Call-ID: [call_id]
      CSeq: {cseq} {cseq_method}
      Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
      Max-Forwards: 70
"""
OFFER = """      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=sipp 1 1 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 8 101
      a=rtpmap:8 PCMA/8000
      a=rtpmap:101 telephone-event/8000
"""
VIA = "      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"


def send(method, cseq, headers="", body="      Content-Length: 0\n\n", tag="[peer_tag_param]", again=True, same=False):
    """A request; `same` is of the transaction of the last response, `again` is sent until something comes."""
    head = HEAD.format(tag=tag, cseq=cseq, cseq_method=method)
    head = head.replace(VIA, "      [last_Via:]\n") if same else head
    text = f"      {method} sip:hotline@[remote_ip]:[remote_port] SIP/2.0{head}{headers}{body}"
    attribute = ' retrans="500"' if again else ""
    return f"<send{attribute}><![CDATA[\n{text}]]></send>\n"


def invite(headers=""):
    return send("INVITE", 1, headers, OFFER, tag="")


def recv(*codes, optional=()):
    """The responses that come in this order; `optional` may come before."""
    may = "".join(f'<recv response="{code}" optional="true"/>\n' for code in optional)
    return may + "".join(f'<recv response="{code}"/>\n' for code in codes)


def pause(milliseconds):
    return f'<pause milliseconds="{milliseconds}"/>\n'


ACK = send("ACK", 1, again=False)
PROVISIONAL = (100, 180, 183)


def bye(cseq=2):
    return send("BYE", cseq) + recv(200)


def play(stage, server, *steps, seconds=25):
    """One call of sipp by these steps; all messages of it."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    scenario, messages = (stage.folder.resolve() / name for name in ("race.xml", "messages.log"))
    steps = "".join(steps)
    scenario.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="race">\n{steps}</scenario>\n')
    stage.sipp(server, scenario.with_suffix(""), "-m", 1, "-trace_msg", "-message_file", messages, seconds=seconds)
    return messages.read_text(errors="replace")


def well_afterwards(server, calls):
    """The server answers, and so many calls of it have ended."""
    assert server.answers(), "the server does not answer any more"
    ended = [call for call in server.calls() if call["disposition"]]
    assert len(ended) == calls, server.calls()
    assert "panicked" not in server.text(), "a task of the server panicked"


def an_answer_is_repeated_until_it_is_acknowledged(stage):
    server = stage.server()
    messages = play(stage, server, invite(), recv(200, optional=PROVISIONAL), pause(4000), ACK, pause(3000), bye())
    before, after = messages.split("\nACK sip:", 1)
    answers = lambda text: len(re.findall(r"SIP/2\.0 200 OK(?:(?!\r?\n\r?\n).)*CSeq: 1 INVITE", text, re.S))
    # At once, and after 0.5, 1.5 and 3.5 s.
    assert 3 <= answers(before) <= 5, messages
    assert answers(after) == 0, messages
    server.record()
    well_afterwards(server, 1)


def a_caller_that_requires_reliable_responses_gets_them(stage):
    server = stage.server()
    ringing = """<recv response="180"><action>
        <ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="rseq"/>
        <ereg regexp="100rel" search_in="hdr" header="Require:" check_it="true" assign_to="required"/>
    </action></recv>\n"""
    prack = send("PRACK", 2, "      RAck: [$rseq] 1 INVITE\n") + recv(200, 200)
    offer = invite("      Require: 100rel\n      Supported: 100rel\n")
    # Variables that are not used are an error to sipp.
    used = '<Reference variables="required"/>\n'
    play(stage, server, offer, '<recv response="100" optional="true"/>\n', ringing, prack, ACK, pause(1500), bye(3), used)
    server.record()
    well_afterwards(server, 1)


def a_caller_that_hangs_up_while_it_rings_is_answered_by_487(stage):
    server = stage.server()
    cancel = send("CANCEL", 1, tag="", same=True, again=False)
    play(stage, server, invite(), recv(180, optional=(100,)), cancel, recv(200, 487), send("ACK", 1, again=False, same=True))
    assert server.answers(), "the server does not answer any more"
    assert not server.calls(), "a call was begun"


def a_cancel_that_meets_the_answer_changes_nothing(stage):
    server = stage.server()
    cancel = send("CANCEL", 1, tag="", same=True, again=False)
    meets = recv(200, optional=PROVISIONAL) + cancel + recv(200)
    play(stage, server, invite(), meets, ACK, pause(1000), bye())
    server.record()
    well_afterwards(server, 1)


def what_an_exchange_tells_of_a_caller_is_kept_if_it_is_trusted(stage):
    told = '      P-Asserted-Identity: "Chen" <sip:13812345678@pbx>\n      X-Plate: AD12345\n'
    told += "      Diversion: <sip:4001234567@pbx>;reason=time-of-day\n"
    server = stage.server(sip_extra='trusted = ["127.0.0.1"]\n')
    play(stage, server, invite(told), recv(200, optional=PROVISIONAL), ACK, pause(1500), bye())
    record = server.record()
    assert "13812345678" in record["from"], record["from"]
    assert record["variables"]["x_plate"] == "AD12345", record["variables"]
    assert "4001234567" in record["variables"]["diversion"], record["variables"]


def two_offers_that_meet_are_both_refused_and_tried_again(stage):
    # A telephone without session timers is asked by us, after half of this time, whether it is still there.
    server = stage.server(sip_extra="session_expires_s = 90\n", rtp_timeout=90)
    kept = {"Via": "via", "From": "from", "To": "to", "Call-ID": "call", "CSeq": "cseq"}
    keep = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{name}:" check_it="true" assign_to="{variable}"/>\n' for name, variable in kept.items()
    )
    asked = f'<recv request="INVITE" timeout="{{}}"><action>\n{keep}</action></recv>\n'
    head = "".join(f"      {name}:[${variable}]\n" for name, variable in kept.items())
    contact = "      Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n"
    answer = lambda status, more="", body="      Content-Length: 0\n\n": f"<send><![CDATA[\n\n      SIP/2.0 {status}\n{head}{more}{body}]]></send>\n"
    meets = asked.format(60_000) + send("INVITE", 2, "", OFFER, again=False) + recv(491, optional=(100,))
    meets += send("ACK", 2, again=False, same=True) + answer("491 Request Pending") + '<recv request="ACK"/>\n'
    # It did not begin the call, so it waits two seconds at most (RFC 3261, 14.1).
    again = asked.format(3_000) + answer("200 OK", contact, OFFER) + '<recv request="ACK"/>\n'
    mine = send("INVITE", 3, "", OFFER) + recv(200, optional=(100,)) + send("ACK", 3, again=False)
    play(stage, server, invite(), recv(200, optional=PROVISIONAL), ACK, meets, again, mine, bye(4), seconds=70)
    server.record()
    well_afterwards(server, 1)


ALL = checks_of(globals())
# The CANCEL has to come before the answer.
ALONE = [a_caller_that_hangs_up_while_it_rings_is_answered_by_487]
