"""A process that is gone between two steps of an upload or a delete: no file is lost, doubled or without an owner."""

from pathlib import Path

import pytest

from shared.crashpoints import CRASHED
from tests.faults.filing import DATA, filing
from tests.faults.points import UPLOADING
from tests.faults.processes import Stack
from tests.variants import one_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("point", one_of(*UPLOADING))
async def test_an_upload_whose_api_was_killed_is_whole_or_leaves_nothing(
    stack: Stack, tmp_path: Path, point: str
) -> None:
    healthy, broken = (stack.api(files=str(tmp_path), testing=testing) for testing in ("", f"crash:{point}"))
    await stack.ready(healthy, broken)
    async with filing(stack, tmp_path) as s:
        assert await s.upload(broken) is None
        assert await broken.died() == CRASHED
        ready = await s.db.fetch("select id from files where ready")
        assert len(ready) == (point == "file.after_ready")
        for row in ready:
            assert await s.content(healthy, row["id"]) == DATA
        again = await s.upload(healthy)
        assert again is not None
        assert await s.content(healthy, again) == DATA
        await s.pass_time()
        assert await s.nothing_is_left()


async def test_a_delete_whose_api_was_killed_is_done_and_the_bytes_follow(stack: Stack, tmp_path: Path) -> None:
    healthy = stack.api(files=str(tmp_path))
    broken = stack.api(files=str(tmp_path), testing="crash:file.after_row_gone")
    await stack.ready(healthy, broken)
    async with filing(stack, tmp_path) as s:
        file = await s.upload(healthy)
        assert file is not None
        await s.delete(broken, file)
        assert await broken.died() == CRASHED
        assert await s.content(healthy, file) == b""
        await s.sweep.run_once()
        assert await s.nothing_is_left()


@pytest.mark.long
async def test_a_sweep_that_was_killed_behind_the_bytes_is_done_again(stack: Stack, tmp_path: Path) -> None:
    healthy = stack.api(files=str(tmp_path))
    await stack.ready(healthy)
    async with filing(stack, tmp_path) as s:
        file, stays = await s.upload(healthy), await s.upload(healthy)
        assert file is not None
        assert stays is not None
        await s.delete(healthy, file)
        broken = stack.worker(files=str(tmp_path), testing="crash:file.after_bytes_gone")
        assert await broken.died() == CRASHED
        assert await s.db.fetchval("select count(*) from file_removals") == 1
        assert await s.content(healthy, stays) == DATA
        await s.pass_time()
        assert await s.nothing_is_left()
