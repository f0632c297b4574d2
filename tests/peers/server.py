"""A `nightline serve` with a configuration of its own on free ports."""

import json
import os
import signal
import socket
import subprocess

import net

# Seconds that a seat may ring.
RING_TIMEOUT = 8

CONFIG = """\
[sip]
listen = [{listen}]
max_calls = {calls}
{sip_extra}

[rtp]
ports = [{rtp}, {rtp_end}]
timeout_s = {rtp_timeout}

{plain_seats}

[store]
path = "{folder}/nightline.db"

[record]
folder = "{folder}/recordings"
{record_extra}

[log]
level = "{level}"
{extra}
"""

OPTIONS = """\
OPTIONS sip:{port}@127.0.0.1:{port} SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:{mine};branch=z9hG4bK{mine};rport\r
Max-Forwards: 70\r
From: <sip:check@127.0.0.1>;tag=1\r
To: <sip:127.0.0.1:{port}>\r
Call-ID: options-{mine}\r
CSeq: 1 OPTIONS\r
Content-Length: 0\r
\r
"""


class Server:
    """Runs from creation to `stop`. `port` is its SIP port on UDP and TCP."""

    def __init__(self, binary, folder, seats=(), calls=16, level="info", env=None, extra="", plain_seats=True, rtp_timeout=30, sip_extra="", tls=None, port=None, record_extra=""):
        folder.mkdir(parents=True, exist_ok=True)
        self.binary, self.folder = binary, folder
        self.port = port or net.free_ports()[0]
        rtp = net.free_ports(calls * 8, even=True)
        self.config = folder / "nightline.toml"
        targets = ", ".join(f'"{seat}"' for seat in seats)
        listens = [f"udp:127.0.0.1:{self.port}", f"tcp:127.0.0.1:{self.port}"]
        listens += [f"tls:127.0.0.1:{tls}"] if tls else []
        self.config.write_text(
            CONFIG.format(
                listen=", ".join(f'"{listen}"' for listen in listens),
                sip_extra=sip_extra,
                record_extra=record_extra,
                rtp=rtp[0],
                rtp_end=rtp[-1],
                plain_seats=f"[seats]\ntargets = [{targets}]\nring_timeout_s = {RING_TIMEOUT}" if plain_seats else "",
                rtp_timeout=rtp_timeout,
                folder=folder,
                level=level,
                calls=calls,
                extra=extra,
            )
        )
        self.env = os.environ | (env or {})
        self.log = open(folder / "server.log", "ab")
        self.start()

    def start(self):
        """Starts it, or starts it again."""
        self.process = subprocess.Popen(
            [self.binary, "serve", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=self.env,
        )
        net.wait_for("the server to answer OPTIONS", self.answers, 30)

    def answers(self):
        """True if it answers an OPTIONS within half a second."""
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.text()[-2000:]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(0.5)
            request = OPTIONS.format(port=self.port, mine=sock.getsockname()[1])
            sock.sendto(request.encode(), ("127.0.0.1", self.port))
            try:
                return sock.recv(4096).startswith(b"SIP/2.0 ")
            except TimeoutError:
                return False

    def uri(self):
        """What a peer dials; baresip adds its account's transport."""
        return f"sip:hotline@127.0.0.1:{self.port}"

    def text(self):
        """Its log."""
        return (self.folder / "server.log").read_text(errors="replace")

    def command(self, *arguments):
        """What another `nightline` command says with the same configuration, as JSON."""
        done = subprocess.run(
            [self.binary, *arguments, "--json", "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=10,
        )
        assert done.returncode == 0, f"`nightline {' '.join(arguments)}` failed: {done.stderr.strip()}"
        return json.loads(done.stdout)

    def run(self, *arguments):
        """Runs another `nightline` command with the same configuration."""
        command = [self.binary, *map(str, arguments), "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"`nightline {' '.join(arguments)}` failed: {done.stderr.strip()}"

    def calls(self):
        """Stored calls, newest first."""
        return self.command("calls", "list")

    def running(self):
        """The record so far of the newest call; without turns if there is none."""
        calls = self.calls()
        return self.command("calls", "show", calls[0]["id"]) if calls else {"turns": []}

    def record(self, seconds=5.0):
        """The record of the newest call, once it has ended."""

        def ended():
            calls = self.calls()
            if not calls:
                return None
            record = self.command("calls", "show", calls[0]["id"])
            return record if record["disposition"] else None

        return net.wait_for("the call's record", ended, seconds, every=0.2)

    def memory_kib(self):
        """Resident memory."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def kill(self):
        """As a power cut would end it."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it politely, by force after 10 s; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        return self.process.returncode
