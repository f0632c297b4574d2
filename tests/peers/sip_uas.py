#!/usr/bin/env python3
"""31 black-box checks of a SIP endpoint that answers calls, over UDP and TCP on loopback.

usage: sip_uas.py PORT [--check] [NAME …]

Prints one line a check: what came, and what is wanted. With --check it also compares the two, prints how many passed,
and exits non-zero if any failed. The endpoint must ring for about 100 ms before it answers, so that CANCEL finds
something to cancel (`cargo run -p nightline-sip --example answer`). Set POSTACK to the seconds to wait after an ACK.
"""
import os
import random
import re
import socket
import string
import sys
import time

POSTACK = float(os.environ.get("POSTACK", "0.1"))
PORT = 0
HOST = "127.0.0.1"
SDP = "\r\n".join([
    "v=0", "o=t 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=audio 45000 RTP/AVP 0 8 101",
    "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=sendrecv", "",
])
CHECKS = {}


def token(length=10):
    return "".join(random.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def status(response):
    """`200 OK` of a response; `no-response` and `CLOSED` as they are."""
    if response is None:
        return "no-response"
    if response == "CLOSED":
        return response
    return " ".join(response.split("\r\n")[0].split()[1:])


def header(message, name):
    found = re.search(rf"(?im)^(?:{name})\s*:\s*(.*?)\r?$", message or "")
    return found and found[1]


class Dialog:
    """One call of ours: a socket of its own, and the headers that go with it."""

    def __init__(self, tcp=False):
        self.tcp, self.buffer = tcp, b""
        self.call_id, self.from_tag, self.to_tag, self.cseq = token() + "@t", token(6), None, 100
        self.target, self.branch, self.last_request = f"sip:x@{HOST}:{PORT}", "", None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        if tcp:
            self.socket.connect((HOST, PORT))
        else:
            self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]

    def make(self, method, body="", extra="", kind="application/sdp", cseq=None, branch=None, length=True, to_tag=...):
        self.branch = branch or "z9hG4bK" + token()
        if cseq is None:
            if method not in ("ACK", "CANCEL"):
                self.cseq += 1
            cseq = self.cseq
        tag = self.to_tag if to_tag is ... else to_tag
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/{'TCP' if self.tcp else 'UDP'} {HOST}:{self.port};branch={self.branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:t@{HOST}:{self.port}>;tag={self.from_tag}",
            f"To: <sip:x@{HOST}:{PORT}>{';tag=' + tag if tag else ''}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:t@{HOST}:{self.port}{';transport=tcp' if self.tcp else ''}>",
        ]
        head = "\r\n".join(lines) + "\r\n" + extra
        if body:
            head += f"Content-Type: {kind}\r\n"
        if length:
            head += f"Content-Length: {len(body)}\r\n"
        return (head + "\r\n" + body).encode()

    def send(self, data):
        if self.tcp:
            self.socket.sendall(data)
        else:
            self.socket.sendto(data, (HOST, PORT))

    def receive(self, seconds=1.5):
        self.socket.settimeout(seconds)
        try:
            if not self.tcp:
                return self.socket.recv(65536).decode(errors="replace")
            while True:
                end = self.buffer.find(b"\r\n\r\n")
                if end == 0:
                    self.buffer = self.buffer[4:]
                    continue
                if end > 0:
                    length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", self.buffer[:end])
                    whole = end + 4 + (int(length[1]) if length else 0)
                    if len(self.buffer) >= whole:
                        message, self.buffer = self.buffer[:whole], self.buffer[whole:]
                        return message.decode(errors="replace")
                data = self.socket.recv(65536)
                if not data:
                    return "CLOSED"
                self.buffer += data
        except socket.timeout:
            return None
        except ConnectionError:
            return "CLOSED"

    def final(self, method, seconds=3.0):
        """The final response to this method, and the provisional ones before it."""
        end, provisional = time.time() + seconds, []
        while time.time() < end:
            message = self.receive(max(0.05, end - time.time()))
            if message is None or message == "CLOSED":
                return message, provisional
            if not message.startswith("SIP/2.0"):
                self.last_request = message
                continue
            if not re.search(r"(?im)^cseq:\s*\d+\s+" + method, message):
                continue
            if int(message.split()[1]) >= 200:
                return message, provisional
            provisional.append(message)
        return None, provisional

    def collect(self, seconds, wait):
        """All responses that come in this time."""
        end, found = time.time() + seconds, []
        while time.time() < end:
            message = self.receive(wait)
            if message and message.startswith("SIP"):
                found.append(message)
        return found

    def ask(self, method, *args, seconds=3.0, **keys):
        """Sends a request and gives the status of its final response."""
        self.send(self.make(method, *args, **keys))
        return status(self.final(method, seconds)[0])

    def call(self, **keys):
        self.send(self.make("INVITE", SDP, **keys))
        response, provisional = self.final("INVITE")
        if response and response.startswith("SIP/2.0 200"):
            self.to_tag = re.search(r"tag=([^;\s>]+)", header(response, "to|t"))[1]
            contact = re.search(r"<?([^>;\r\n]+)", header(response, "contact|m") or self.target)
            self.target = contact[1]
            self.send(self.make("ACK", cseq=self.cseq))
            time.sleep(POSTACK)
        return response, provisional

    def bye(self):
        return self.ask("BYE")


def check(wanted):
    """Registers a check; `wanted` is a pattern that its whole line must fit."""
    def register(function):
        CHECKS[function.__name__] = (function, wanted)
        return function
    return register


@check(r"200 OK provisional=\['100', '180'\] bye=200 OK")
def basic_udp():
    dialog = Dialog()
    response, provisional = dialog.call()
    return f"{status(response)} provisional={[status(p)[:3] for p in provisional]} bye={dialog.bye()}"


@check("200 OK bye=200 OK")
def basic_tcp():
    dialog = Dialog(tcp=True)
    response, _ = dialog.call()
    return f"{status(response)} bye={dialog.bye()}"


@check("200 OK")
def tcp_split3():
    dialog = Dialog(tcp=True)
    message = dialog.make("INVITE", SDP)
    for i in range(3):
        dialog.socket.sendall(message[i * len(message) // 3:(i + 1) * len(message) // 3])
        time.sleep(0.1)
    return status(dialog.final("INVITE")[0])


@check("200 OK / 200 OK")
def tcp_two_in_one():
    dialog = Dialog(tcp=True)
    dialog.socket.sendall(dialog.make("OPTIONS") + dialog.make("OPTIONS"))
    return f"{status(dialog.final('OPTIONS')[0])} / {status(dialog.final('OPTIONS')[0])}"


@check("400 .*; then CLOSED; alive=200 OK.*")
def tcp_huge_content_length():
    dialog = Dialog(tcp=True)
    length = b"\r\nContent-Length: 18446744073709551615\r\n\r\n"
    dialog.socket.sendall(dialog.make("INVITE", SDP, length=False).replace(b"\r\n\r\n", length, 1))
    first, then = status(dialog.receive(2)), status(dialog.receive(2))
    return f"{first}; then {then}; alive={basic_udp()}"


@check("200 OK allow=True accept=True supported=True")
def options():
    dialog = Dialog()
    dialog.send(dialog.make("OPTIONS"))
    response = dialog.final("OPTIONS")[0]
    told = [f"{name}={bool(header(response, name))}" for name in ("allow", "accept", "supported")]
    return f"{status(response)} {' '.join(told)}"


@check("(405|501) .*")
def unknown_method():
    return Dialog().ask("FOOBAR")


@check("420 .*")
def require_unknown():
    return Dialog().ask("INVITE", SDP, extra="Require: nothingSupportsThis\r\n")


@check("415 .*")
def bad_content_type():
    return Dialog().ask("INVITE", "hello", kind="text/x-foo")


@check("200 OK audio=True")
def no_content_length_udp():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE", SDP, length=False))
    response = dialog.final("INVITE")[0]
    return f"{status(response)} audio={'m=audio' in (response or '')}"


@check("no-response|400 .*")
def malformed_via():
    dialog = Dialog()
    dialog.send(dialog.make("OPTIONS").replace(b"Via: SIP/2.0/UDP", b"Via: SIP;;,/2.0/UDP"))
    return status(dialog.final("OPTIONS", 1.5)[0])


@check("400 .*")
def bad_cseq():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE", SDP).replace(b"CSeq: 101 INVITE", b"CSeq: 9292394834772304023312 INVITE"))
    return status(dialog.receive(1.5))


@check("505 .*")
def sip_version():
    dialog = Dialog()
    dialog.send(dialog.make("OPTIONS").replace(b" SIP/2.0\r\nVia", b" SIP/7.0\r\nVia"))
    return status(dialog.final("OPTIONS", 1.5)[0])


@check(r"200 after \[0\.\d, 0\.[56], 1\.[56], 3\.[56], 7\.[56]\]")
def no_ack_2xx_retrans():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE", SDP))
    start, first, times = time.time(), None, []
    while time.time() - start < 9:
        message = dialog.receive(1)
        if message and message.startswith("SIP/2.0 200"):
            now = time.time()
            times.append(round(now - (first or start), 1))
            first = first or now
    return f"200 after {times}"


@check("cancel=200 OK invite=487 .*")
def cancel():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE", SDP))
    branch = dialog.branch
    time.sleep(0.06)
    dialog.send(dialog.make("CANCEL", branch=branch))
    cancelled = invited = None
    end = time.time() + 2
    while time.time() < end and not (cancelled and invited):
        message = dialog.receive(0.5)
        if not message:
            continue
        if "CANCEL" in header(message, "cseq"):
            cancelled = status(message)
        elif int(message.split()[1]) >= 200:
            invited = status(message)
    return f"cancel={cancelled} invite={invited}"


def in_call(*request, **keys):
    """The answer to a request in a call that is up."""
    dialog = Dialog()
    dialog.call()
    answer = dialog.ask(*request, **keys)
    dialog.bye()
    return answer


@check("200 OK")
def in_dialog_update():
    return in_call("UPDATE", SDP)


@check("200 OK")
def in_dialog_info_dtmf():
    return in_call("INFO", "Signal=5\r\nDuration=160\r\n", kind="application/dtmf-relay")


@check("200 OK")
def in_dialog_options():
    return in_call("OPTIONS")


@check("200 OK direction=recvonly")
def reinvite_hold():
    dialog = Dialog()
    dialog.call()
    dialog.send(dialog.make("INVITE", SDP.replace("sendrecv", "sendonly")))
    response, _ = dialog.final("INVITE")
    dialog.send(dialog.make("ACK", cseq=dialog.cseq))
    direction = re.search(r"a=(sendrecv|recvonly|sendonly|inactive)", response or "")
    dialog.bye()
    return f"{status(response)} direction={direction and direction[1]}"


@check("200 OK offer=True")
def reinvite_no_sdp():
    dialog = Dialog()
    dialog.call()
    dialog.send(dialog.make("INVITE"))
    response, _ = dialog.final("INVITE")
    dialog.send(dialog.make("ACK", SDP, cseq=dialog.cseq))
    dialog.bye()
    return f"{status(response)} offer={'m=audio' in (response or '')}"


@check("200 OK offer=True")
def initial_invite_no_sdp():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE"))
    response, _ = dialog.final("INVITE")
    return f"{status(response)} offer={'m=audio' in (response or '')}"


@check("202 Accepted notify=NOTIFY|603 .*|403 .*")
def refer():
    dialog = Dialog()
    dialog.call()
    dialog.last_request = None
    answer = dialog.ask("REFER", extra=f"Refer-To: <sip:h@{HOST}:5999>\r\n")
    dialog.final("NONE", 0.7)
    request = dialog.last_request
    dialog.bye()
    return f"{answer} notify={request.split()[0] if request else None}"


@check("481 .*")
def bye_wrong_tag():
    return Dialog().ask("BYE", to_tag="nonexist")


@check("481 .*")
def reinvite_wrong_tag():
    return Dialog().ask("INVITE", SDP, to_tag="nonexist")


@check("500 .*")
def old_cseq():
    return in_call("INFO", "x", kind="text/plain", cseq=5, seconds=1.5)


@check(r"\['200 OK', '482 .*'\]")
def merged_request():
    dialog = Dialog()
    message = dialog.make("INVITE", SDP)
    dialog.send(message)
    dialog.send(message.replace(dialog.branch.encode(), b"z9hG4bKother" + token().encode()))
    return str(sorted({status(m) for m in dialog.collect(1.5, 0.3) if int(m.split()[1]) >= 200}))


@check("to-tags=1")
def invite_retransmit():
    dialog = Dialog()
    message = dialog.make("INVITE", SDP)
    for _ in range(3):
        dialog.send(message)
        time.sleep(0.05)
    tags = {t[1] for m in dialog.collect(1, 0.3) if (t := re.search(r"tag=([^;\s]+)", header(m, "to|t") or ""))}
    return f"to-tags={len(tags)}"


@check(r"200 OK reliable=[1-9]\d*|420 .*")
def rel100():
    dialog = Dialog()
    dialog.send(dialog.make("INVITE", SDP, extra="Require: 100rel\r\nSupported: 100rel\r\n"))
    response, provisional = dialog.final("INVITE", 2)
    return f"{status(response)} reliable={sum(bool(header(p, 'rseq')) for p in provisional)}"


@check(r"200 OK session-expires=120;\s*refresher=uas")
def session_timer():
    dialog = Dialog()
    response, _ = dialog.call(extra="Supported: timer\r\nSession-Expires: 120;refresher=uas\r\nMin-SE: 90\r\n")
    dialog.bye()
    return f"{status(response)} session-expires={header(response, 'session-expires|x')}"


@check("422 .*")
def session_timer_small():
    return status(Dialog().call(extra="Supported: timer\r\nSession-Expires: 20\r\n")[0])


@check(r"\['102:200', '103:(500|491)'\]")
def pipelined_reinvite():
    dialog = Dialog()
    dialog.call()
    first, second = dialog.make("INVITE", SDP), dialog.make("INVITE", SDP)
    dialog.send(first)
    dialog.send(second)
    finals = (m for m in dialog.collect(2, 0.3) if int(m.split()[1]) >= 200)
    return str(sorted({f"{header(m, 'cseq').split()[0]}:{m.split()[1]}" for m in finals}))


def main():
    global PORT
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    if not arguments or not arguments[0].isdigit() or not set(arguments[1:]) <= set(CHECKS):
        sys.exit(__doc__)
    PORT = int(arguments[0])
    passed, failed = 0, 0
    for name in arguments[1:] or CHECKS:
        function, wanted = CHECKS[name]
        try:
            got = function()
        except Exception as error:  # a check that falls over has failed, the others go on
            got = f"{type(error).__name__}: {error}"
        good = re.fullmatch(wanted, got) is not None
        passed, failed = passed + good, failed + (not good)
        print(f"{name:26} {got}" + ("" if good else f"   WANTED {wanted}"), flush=True)
    if "--check" in sys.argv:
        print(f"{passed} passed, {failed} failed")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
