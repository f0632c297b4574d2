"""The configuration of a server under measurement."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))
import net  # noqa: E402

CONFIG = """\
[sip]
listen = ["udp:127.0.0.1:{sip}"]
max_calls = {calls}

[rtp]
ports = [{rtp}, {rtp_end}]

[store]
path = "{folder}/nightline.db"

[record]
folder = "{folder}/recordings"
wav = {wav}

[log]
level = "warn"
"""


def configure(folder, calls, wav=False):
    """Writes a configuration for so many calls into `folder`; gives the file, the SIP port and the ports for RTP."""
    sip, rtp = net.free_ports()[0], net.free_ports(calls * 4 + 64, even=True)
    text = CONFIG.format(sip=sip, calls=calls + 8, rtp=rtp[0], rtp_end=rtp[-1], folder=folder, wav=str(wav).lower())
    config = folder / "nightline.toml"
    config.write_text(text)
    return config, sip, rtp
