"""`threadmill top`: live at a terminal, one frame elsewhere."""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios

import asyncpg
import pytest

from tests.e2e.command_line import Threadmill
from tests.rows import Owner, add_batch, add_thread

pytestmark = pytest.mark.timeout(60)

BIG = struct.pack("HHHH", 24, 80, 0, 0)


async def test_without_a_terminal_it_is_one_frame_and_says_so(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    await add_batch(pool, owner, await add_thread(pool, owner))
    ended = await threadmill("top")
    assert (ended.code, ended.err) == (0, "no terminal: this is one frame\n")
    assert "waiting 1" in ended.out
    assert "no_worker" in ended.out
    document = (await threadmill("top", "--json")).document
    assert document["postgres"]["backlog"]["waiting"] == {"value": 1, "at_least": False}
    assert (document["postgres"]["hour"]["step"], len(document["postgres"]["hour"]["points"])) == (60, 60)
    away = await threadmill("top", "--once", REDIS_URL="redis://127.0.0.1:1/0")
    assert (away.code, "redis is away" in away.err, "waiting 1" in away.out) == (1, True, True)
    assert (await threadmill("top", "--interval", "0")).code == 2


@pytest.mark.slow
async def test_at_a_terminal_it_is_drawn_again_and_again_until_somebody_leaves(environment: dict[str, str]) -> None:
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, BIG)
    before = termios.tcgetattr(theirs)
    plain = {name: value for name, value in environment.items() if name not in {"COLUMNS", "TERM"}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from deploy.cli import main; main()", "top", "--interval", "0.2"),
        env={**os.environ, **plain, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    screen = asyncio.create_task(asyncio.to_thread(_read, mine, b"p goes on", b"p"))
    try:
        assert b"p stops" in await asyncio.wait_for(screen, 30)
        os.write(mine, b"q")
        rest = asyncio.create_task(asyncio.to_thread(_read, mine, b"\x1b[?1049l", b""))  # back from the other screen
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await asyncio.wait_for(rest, 10)
        assert termios.tcgetattr(theirs)[3] == before[3], "the terminal is as it was"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(theirs)
        os.close(mine)


def _read(terminal: int, until: bytes, typed: bytes) -> bytes:
    """What is on the screen until it shows this; types once something is there."""
    seen = b""
    while until not in seen:
        seen += os.read(terminal, 1 << 16)
        if typed and b"p stops" in seen:
            os.write(terminal, typed)
            typed = b""
    return seen
