"""Hosts of a network of our own: network namespaces with two links each, which can be cut without a word.

    clients 10.71.0.1 ── front ──┬── 10.71.0.N  host N  10.70.0.N ──┬── back ── 10.70.0.1 servers

All of it lies in the namespace that this process is in, which must be one of its own (`alone`): nothing of it is seen
by the machine, and nothing outlives the process. A cut drops packets on their way: no side is told, connections stay
as they are. Refused here: what runs on the hosts.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from deploy import children
from deploy.children import Command, Process

PROGRAMS = ("ip", "tc", "unshare", "nsenter")
NETWORKS = {"back": "10.70.0", "front": "10.71.0"}
SERVERS, CLIENTS = "10.70.0.1", "10.71.0.1"
ALONE = "THREADMILL_TEST_NAMESPACE"  # set in the process that has a namespace of its own
_PROBE = "ip link add probe0 type veth peer name probe1 && tc qdisc add dev probe0 root pfifo limit 0"


End = tuple[tuple[str, ...], str]


class Cut(StrEnum):
    """What of a host's packets is dropped."""

    BACK = "back"  # between it and the servers: clients reach its api still
    TO_SERVERS = "to-servers"  # what it sends to the servers: they send, and hear nothing
    FROM_SERVERS = "from-servers"  # what the servers send to it: they hear it, and their answers are lost
    ALL = "all"  # everything: the host is as good as gone


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, held by a process that sleeps; `enter` begins the command lines of what runs in it."""

    number: int
    holder: Process

    @property
    def back(self) -> str:
        return f"{NETWORKS['back']}.{self.number}"

    @property
    def front(self) -> str:
        return f"{NETWORKS['front']}.{self.number}"

    @property
    def enter(self) -> tuple[str, ...]:
        """As a container: the process is number 1 of its own, and all hosts have the same name."""
        return (
            *("nsenter", f"--net=/proc/{self.holder.pid}/ns/net"),
            *("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"),
            *("sh", "-c", 'hostname node && exec "$@"', "sh"),
        )

    def cut(self, what: Cut) -> None:
        for end in self._ends(what):
            _run(*_tc(end, "replace"), "root", "pfifo", "limit", "0")

    def heal(self) -> None:
        for end in self._ends(Cut.ALL):
            # Deleting what is not there is an error: it was not cut.
            subprocess.run([*_tc(end, "del"), "root"], check=False, stderr=subprocess.DEVNULL)

    def _ends(self, what: Cut) -> list[End]:
        """Where packets are dropped, as (how to get there, device): behind a bridge, so that no sender learns of it."""
        inside = ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net")
        to_servers, from_servers = (inside, "back-wire"), ((), f"back-{self.number}")
        match what:
            case Cut.BACK:
                return [to_servers, from_servers]
            case Cut.TO_SERVERS:
                return [to_servers]
            case Cut.FROM_SERVERS:
                return [from_servers]
            case Cut.ALL:
                return [to_servers, from_servers, (inside, "front-wire"), ((), f"front-{self.number}")]


@dataclass(slots=True)
class Network:
    """Two bridges in this namespace, and the hosts at them."""

    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert is_alone(), "a network is laid in a namespace of its own only: see `alone`"
        _run("ip", "link", "set", "lo", "up")
        for name, prefix in NETWORKS.items():
            _run("ip", "link", "add", name, "type", "bridge")
            _run("ip", "address", "add", f"{prefix}.1/24", "dev", name)
            _run("ip", "link", "set", name, "up")

    def host(self) -> Host:
        """One more."""
        number = len(self.hosts) + 2
        holder = children.spawn(Command(f"host-{number}", ("unshare", "--net", "sleep", "infinity")))
        _until_apart(holder)
        host = Host(number, holder)
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "ip")
        _run(*inside, "link", "set", "lo", "up")
        for name, prefix in NETWORKS.items():
            outer = f"{name}-{number}"
            _run("ip", "link", "add", outer, "type", "veth", "peer", "name", f"{name}-wire", "netns", str(holder.pid))
            _run("ip", "link", "set", outer, "master", name, "up")
            _run(*inside, "link", "add", name, "type", "bridge")
            _run(*inside, "link", "set", f"{name}-wire", "master", name, "up")
            _run(*inside, "address", "add", f"{prefix}.{number}/24", "dev", name)
            _run(*inside, "link", "set", name, "up")
        self.hosts.append(host)
        return host

    def close(self) -> None:
        for host in self.hosts:
            host.holder.kill()
            host.holder.wait()


def is_alone() -> bool:
    return ALONE in os.environ


def alone(argv: Sequence[str]) -> list[str]:
    """A command line that runs Python with `argv` in a network namespace of its own."""
    return ["unshare", "--net", "env", f"{ALONE}=1", sys.executable, *argv]


def why_not() -> str | None:
    """Why no such network can be laid on this machine; None where it can."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)} (Debian: iproute2, util-linux)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    tried = subprocess.run(["unshare", "--net", "sh", "-c", _PROBE], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"this system lays no network: {tried.stderr.strip()}"


def _tc(end: End, verb: str) -> tuple[str, ...]:
    way, device = end
    return (*way, "tc", "qdisc", verb, "dev", device)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _until_apart(holder: Process) -> None:
    """Its namespace is its own a moment after it began."""
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
        assert holder.poll() is None, "a host's namespace can't be made"
