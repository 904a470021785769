"""Ports on 127.0.0.1: is one free, which one is."""

import secrets
import socket

HOST = "127.0.0.1"

# Below those that systems give to outgoing connections: one of these may take a port between the pick and its server.
_FIRST, _COUNT = 20_000, 10_000
_TRIES = 20


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def pick(wanted: int = 0) -> int:
    """`wanted` where it is free, else a port that is."""
    if wanted and is_free(wanted):
        return wanted
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_COUNT)
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
