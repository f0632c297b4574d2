"""Kamailio with the configuration of sip/profiles, as an exchange between telephones and a Nightline."""

import shutil
import subprocess
from pathlib import Path

import net

PROFILE = Path(__file__).resolve().parents[2] / "sip/profiles/kamailio.cfg"


class Kamailio:
    """Runs from creation to `stop`. `port` is its SIP port on UDP and TCP; calls to `hotline` go to the server at `nightline`."""

    def __init__(self, folder, nightline):
        folder.mkdir(parents=True)
        self.port = net.free_ports()[0]
        text = PROFILE.read_text("utf-8")
        for name, port in (("KAMAILIO", self.port), ("NIGHTLINE", nightline)):
            default = next(line for line in text.splitlines() if line.startswith(f'#!substdef "!{name}!'))
            text = text.replace(default, f'#!substdef "!{name}!127.0.0.1:{port}!g"')
        config = folder / "kamailio.cfg"
        config.write_text(text, "utf-8")
        # Debian puts it where not every user's path leads.
        binary = shutil.which("kamailio") or "/usr/sbin/kamailio"
        command = [binary, "-DD", "-E", "-n", "1", "-m", "16", "-M", "4", "-Y", str(folder), "-f", str(config)]
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def uri(self, user):
        """What reaches `user` through it."""
        return f"sip:{user}@127.0.0.1:{self.port}"

    def stop(self):
        """Ends it with its children."""
        net.end(self.process)
        self.log.close()
