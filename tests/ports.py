"""Ports on loopback for servers of tests, while another run tests on the same machine.

The usual way is to bind to port 0, to close the socket and to start the server. In between,
the kernel may assign the port to another process, also after a test has stopped its server.
"""

from __future__ import annotations

import random
import socket
import sys

#: Below the ports that the kernel gives to connections going out (32768 and up on Linux).
_RANGE = range(15_000, 30_000)

_TRIES = 1000

#: Kept open until this process ends, and the reservations with them.
_reservations: list[socket.socket] = []


def free_port() -> int:
    """Reserve a port on 127.0.0.1 for this process, until it ends.

    Returns:
        A port that no server listens on, and that no other run of the tests is given.
    """
    for _ in range(_TRIES):
        port = random.choice(_RANGE)
        if _reserve(port) and _is_free(port):
            return port
    raise RuntimeError(
        f"no port from {_RANGE.start} to {_RANGE.stop - 1} on 127.0.0.1 is free ({_TRIES} tries)"
    )


def _reserve(port: int) -> bool:
    if sys.platform != "linux":
        return True
    # A name in the abstract namespace belongs to one socket on the whole machine.
    # The kernel frees it when the process ends, however it ends; no file stays behind.
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0mozlog-tests-port-{port}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind, so that connections of a server that has ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
