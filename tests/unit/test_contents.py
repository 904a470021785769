"""The bytes of a file that a runner yields by its path: of regular files, and nothing that a thread would wait for."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.watch import until
from worker.runners import File
from worker.runners.contents import weigh
from worker.runners.localfiles import LocalShelf


async def test_a_path_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "there.bin").write_bytes(bytes(300_000))
    assert (await weigh(File("a.bin", tmp_path / "there.bin"))).size == 300_000


async def test_a_pipe_that_nobody_writes_to_is_refused_and_keeps_no_thread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        await weigh(File("a.bin", tmp_path / "pipe"))
    await until(_no_reader_is_left)
    with pytest.raises(OSError, match="no regular file"):  # nor is it waited for before a runner is tried with it
        LocalShelf([tmp_path / "pipe"], datetime.now(UTC), tmp_path)


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
async def test_a_path_of_what_has_no_end_or_no_bytes_is_refused(path: str) -> None:
    with pytest.raises(OSError, match=r"no regular file|directory"):
        await weigh(File("a.bin", Path(path)))


async def _no_reader_is_left() -> bool:
    return not [one for one in threading.enumerate() if one.name.startswith("contents")]
