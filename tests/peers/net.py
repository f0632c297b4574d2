"""Free ports and bounded waiting."""

import socket
import time

_given = set()


def free_ports(count=1, kind=socket.SOCK_DGRAM, even=False):
    """`count` ports in a row that nobody on loopback uses (for UDP and TCP alike), never given twice."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        first += first % 2 if even else 0
        ports = range(first, first + count)
        if ports.stop < 65000 and not _given & set(ports) and all(_free(port) for port in ports):
            _given.update(ports)
            return list(ports)


def _free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def wait_for(what, ready, seconds=10.0, every=0.05):
    """The first true value of `ready()`; fails after `seconds`, saying what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = ready()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(every)
