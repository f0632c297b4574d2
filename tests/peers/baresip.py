"""A headless baresip on loopback: a caller that speaks WAV files, or a seat that answers by itself."""

import json
import re
import socket
import subprocess

import audio
import net

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip}
audio_player aubridge,sink
audio_source aufile,{wav}
audio_alert aubridge,alert
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
rtp_ports {rtp}-{rtp_end}
jitter_buffer_delay 5-10
rtp_stats yes
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:{ctrl}
snd_path {rec}
"""


class Baresip:
    """Runs from `start` to `stop`; what it hears lies in `folder/rec/dump-*-dec.wav`, what it says in `-enc.wav`."""

    def __init__(self, folder, answers=False, transport="udp", codecs="PCMA/8000/1,PCMU/8000/1", user="peer", speaks=b"", settings="", account="", registrar=None, rate=audio.RATE):
        self.folder, self.rate = folder, rate
        self.rec = folder / "rec"
        self.rec.mkdir(parents=True)
        # It takes the port after its own for TLS.
        self.port, _, self.ctrl = net.free_ports(3)
        rtp = net.free_ports(20, even=True)
        silence = self._file("silence", speaks)
        config = CONFIG.format(sip=self.port, wav=silence, rtp=rtp[0], rtp_end=rtp[-1], rate=rate, ctrl=self.ctrl, rec=self.rec)
        (folder / "config").write_text(config + settings)
        mode = "auto" if answers else "manual"
        parameters = account
        account = f"<sip:{user}@127.0.0.1:{registrar or self.port};transport={transport}>"
        account += f";regint={60 if registrar else 0};ptime=20"
        account += f";audio_codecs={codecs};answermode={mode};audio_source=aufile,{silence}"
        (folder / "accounts").write_text(account + parameters + "\n")
        (folder / "contacts").write_text("")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            ["baresip", "-f", str(folder), "-4", "-s"],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.control = net.wait_for("baresip's control port", self._connect)
        self.said = 0

    def _connect(self):
        assert self.process.poll() is None, f"baresip ended at once:\n{self.text()}"
        try:
            return socket.create_connection(("127.0.0.1", self.ctrl), 2)
        except OSError:
            return None

    def do(self, command, params=""):
        """Gives a command, as one would type it (`dial`, `hangup`, `sndcode`, `hold` …)."""
        message = json.dumps({"command": command, "params": str(params), "token": command})
        self.control.sendall(f"{len(message)}:{message},".encode())

    def say(self, samples):
        """Speaks into the call from now on, then is silent."""
        self.said += 1
        self.do("ausrc", f"aufile,{self._file(f'say-{self.said}', samples)}")

    def _file(self, name, samples):
        """What it is to say, at its rate: its own filter would take away what is above a third of the telephone's band."""
        path = audio.write(self.folder / f"{name}.wav", samples)
        if self.rate == audio.RATE:
            return path
        wide = self.folder / f"{name}-{self.rate}.wav"
        subprocess.run(["sox", str(path), "-r", str(self.rate), str(wide)], check=True)
        return wide

    def text(self):
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def established(self, seconds=10.0):
        """Waits for the call to be up; gives the recording of what is heard."""
        net.wait_for("the call to be answered", lambda: "Call established" in self.text(), seconds)
        return net.wait_for("baresip's recording", self.hears)

    def hears(self):
        """The newest recording of what is heard."""
        # Their names are the times at which they began.
        files = sorted(self.rec.glob("dump-*-dec.wav"))
        return audio.Recording(files[-1]) if files else None

    def receives(self):
        """Bits a second that it last showed to receive, averaged over 3 s; -1 before the first."""
        shown = re.findall(r"audio=\d+/(\d+) \(bit/s\)", self.text())
        return int(shown[-1]) if shown else -1

    def closed(self):
        """True once a call has ended."""
        return "terminated" in self.text() or "session closed" in self.text().lower()

    def stop(self):
        """Ends it, by force if need be."""
        self.control.close()
        net.end(self.process)
        self.process.stdin.close()
        self.log.close()
