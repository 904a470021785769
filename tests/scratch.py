"""Where the tests keep what they throw away: in memory where there is room, for a database made by copy is many files.

TMPDIR, where it is set, names another place. Refused here: the faults and the bench, whose servers write to a disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - each run makes a directory of its own below it, which only its user reads
ROOM = 4 << 30  # bytes; a run takes a tenth of that: a few databases at a time, and their logs


def choose() -> None:
    """From now on temporary files of this process, and of those that it starts, are made there."""
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # looked for anew


def _has_room(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= ROOM
