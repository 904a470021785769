"""CPU seconds and memory as the operating system counts them, read from `/proc`.

Processes are taken with all their descendants: Postgres gives each connection a process of its own. Times of
children that ended are kept by the parent that waited for them, so a tree's sum never falls. Linux only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds; the sum is exact, only its last digit is a tick
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CPU seconds since each tree was started, and of the whole machine (all that was not idle)."""

    groups: Mapping[str, float]
    machine: float

    def since(self, before: "Snapshot") -> "Snapshot":
        spent = {name: max(0.0, seconds - before.groups[name]) for name, seconds in self.groups.items()}
        return Snapshot(spent, self.machine - before.machine)


def snapshot(roots: Mapping[str, int]) -> Snapshot:
    """One reading of every named tree."""
    parents, times = _processes()
    groups = {name: sum(times.get(pid, 0.0) for pid in _tree(root, parents)) for name, root in roots.items()}
    return Snapshot(groups, _machine())


def resident_mib(root: int) -> float:
    """Resident memory of a tree now, MiB."""
    parents, _ = _processes()
    return sum(_field(pid, "VmRSS:") for pid in _tree(root, parents)) / 1024


def peak_mib(root: int) -> float:
    """The most that each process of a tree ever had resident, summed, MiB."""
    parents, _ = _processes()
    return sum(_field(pid, "VmHWM:") for pid in _tree(root, parents)) / 1024


def _processes() -> tuple[dict[int, int], dict[int, float]]:
    """Of every process its parent, and its CPU seconds with those of the children it waited for."""
    parents, times = {}, {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended while we looked
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            times[pid] = sum(map(int, fields[11:15])) * _TICK
    return parents, times


def _tree(root: int, parents: Mapping[int, int]) -> set[int]:
    found = {root}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return found


def _field(pid: int, name: str) -> int:
    """A line of `/proc/<pid>/status`, kB; 0 for a process that ended."""
    try:
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def _machine() -> float:
    """Busy seconds of all cores: user, nice, system, irq, softirq, steal."""
    fields = [int(value) for value in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[at] for at in (0, 1, 2, 5, 6, 7)) * _TICK
