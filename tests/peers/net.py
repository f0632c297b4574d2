"""Free ports and bounded waiting."""

import socket
import subprocess
import time

# Processes that look for ports at the same time look in different places, all below those that the system gives away itself.
SLOTS = 4
_SLOT_PORTS = range(10000, 15000)
_left = iter(_SLOT_PORTS)


def use_slot(slot):
    """From now on ports come from slot 0 … SLOTS - 1, which no other process may use meanwhile."""
    global _left
    _left = iter(range(_SLOT_PORTS.start + slot * len(_SLOT_PORTS), _SLOT_PORTS.stop + slot * len(_SLOT_PORTS)))


def free_ports(count=1, even=False):
    """`count` ports in a row that nobody on loopback uses (for UDP and TCP alike), never given twice."""
    row = []
    for port in _left:
        if not row and even and port % 2:
            continue
        row = [*row, port] if _free(port) else []
        if len(row) == count:
            return row
    raise AssertionError(f"no {count} ports in a row are free")


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


def end(process, seconds=5):
    """Ends a program, by force if it does not go by itself in time."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
