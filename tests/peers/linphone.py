"""linphonec, a second and independent SIP stack, driven by its standard input."""

import os
import subprocess

import audio
import net

CONFIG = """\
[sip]
sip_port={sip}
sip_tcp_port={sip}
sip_tls_port=0
use_ipv6=0
ipv6_migration_done=1
default_proxy=-1

[rtp]
audio_rtp_port={rtp}
symmetric=1

[net]
firewall_policy=0

[sound]
playback_dev_id=
capture_dev_id=
echocancellation=0

[audio_codec_0]
mime=PCMA
rate=8000
enabled=1

[audio_codec_1]
mime=PCMU
rate=8000
enabled=1
"""


class Linphone:
    """Runs from `start` to `stop`; what it hears lies in `folder/heard.wav`."""

    def __init__(self, folder, transport="udp"):
        folder.mkdir(parents=True)
        self.folder, self.transport = folder, transport
        for part in (".local/share/linphone", ".config/linphone"):
            (folder / part).mkdir(parents=True)
        config = CONFIG.format(sip=net.free_ports()[0], rtp=net.free_ports(2, even=True)[0])
        (folder / "linphonerc").write_text(config)
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            ["linphonec", "-c", str(folder / "linphonerc")],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={key: value for key, value in os.environ.items() if not key.startswith("XDG_")} | {"HOME": str(folder)},
        )
        self.said = 0
        net.wait_for("linphonec's prompt", lambda: "linphonec>" in self.text())
        self.do("soundcard use files")
        self.do(f"record {folder / 'heard.wav'}")

    def do(self, command):
        """Types a command (`call`, `terminate`, `pause`, `resume`, a digit …)."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def dial(self, port, user="hotline"):
        """Calls the server and waits for the answer; gives the recording of what is heard."""
        self.do(f"call sip:{user}@127.0.0.1:{port};transport={self.transport}")
        net.wait_for("the call to be answered", lambda: "connected" in self.text().lower(), 10)
        recording = self.folder / "heard.wav"
        net.wait_for("linphonec's recording", lambda: recording.exists() and recording.stat().st_size > 44)
        return audio.Recording(recording)

    def say(self, samples):
        """Speaks into the call."""
        self.said += 1
        self.do(f"play {audio.write(self.folder / f'say-{self.said}.wav', samples)}")

    def text(self):
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self):
        """Ends it, by force if need be."""
        try:
            self.do("quit")
            self.process.wait(3)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.log.close()
