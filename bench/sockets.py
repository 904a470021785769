"""What a server's side of its connections shows, read from `/proc/net/tcp`: open or not, and bytes not taken yet.

Linux only, IPv4 only: everything here listens on 127.0.0.1.
"""

from pathlib import Path
from typing import NamedTuple

_TABLE = Path("/proc/net/tcp")
_ESTABLISHED = "01"


class Side(NamedTuple):
    open: bool  # False: the server has closed it, whether the other side knows or not
    queued: int  # bytes that the system keeps until the other side takes them


def server_sides(port: int) -> dict[int, Side]:
    """Of all connections to this port, by the port at the other end."""
    found = {}
    for line in _TABLE.read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if int(local[9:], 16) == port:
            found[int(remote[9:], 16)] = Side(state == _ESTABLISHED, int(queues.partition(":")[0], 16))
    return found
