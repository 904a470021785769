"""Servers of these tests whose start fails leave no process behind, and say what is missing."""

import asyncio
from pathlib import Path

import psutil
import pytest

from tests import elsewhere
from tests.failover.sentinels import REDIS, SENTINEL, Group
from tests.failover.standby import Pair
from tests.pooler import PROGRAM, start_pooler
from tests.servers import on_database

SOON = 1.5  # seconds: more than until the first process is there


class Strangers(Group):
    async def _met(self) -> bool:
        return False


def _left() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


async def test_a_primary_without_its_standby_is_ended(tmp_path: Path) -> None:
    before = _left()
    await asyncio.to_thread((tmp_path / "b").mkdir)  # where the copy is to be
    with pytest.raises(FileExistsError):
        async with Pair(tmp_path):
            pass
    assert _left() <= before


@pytest.mark.skipif(not (REDIS and SENTINEL), reason="Debian's redis-server or redis-sentinel is missing")
async def test_sentinels_that_never_meet_are_ended(tmp_path: Path) -> None:
    before = _left()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON), Strangers(tmp_path):
            pass
    assert _left() <= before


@pytest.mark.skipif(not PROGRAM, reason="Debian's pgbouncer is missing")
async def test_a_pooler_that_never_answers_is_ended(tmp_path: Path, database_url: str) -> None:
    before = _left()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await start_pooler(tmp_path, on_database(database_url, "nowhere"))
    assert _left() <= before


def test_who_has_no_pgbouncer_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(elsewhere, "PROGRAM", None)
    monkeypatch.setattr("sys.argv", ["elsewhere", "--pooler", "--", "true"])
    with pytest.raises(SystemExit) as ended:
        elsewhere.main()
    assert ended.value.code == 2
    assert "apt-get install pgbouncer" in capsys.readouterr().err
