"""What the dialects list of a thread after quiet: all its messages, page by page."""

import random
from typing import Any

from tests.contract.cortex_client import THREADS
from tests.faults.history import Reply
from tests.faults.users.book import Place
from tests.faults.users.calls import Line
from tests.faults.users.cortex import NAME as CORTEX
from tests.faults.users.history import Lines
from tests.faults.users.openai import AIML

OPENAI = "openai"
PAGES = (1, 3, 20, 100)


async def listed(line: Line, place: Place, rng: random.Random) -> list[tuple[str, str, Lines]]:
    """Dialect, thread, its messages: of each that can name it."""
    found = [
        (OPENAI, place.thread, await _openai(line, place.thread, "/v1", rng.choice(PAGES))),
        (AIML, place.thread, await _openai(line, place.thread, "", rng.choice(PAGES))),
    ]
    if place.dialect == CORTEX:
        found.append((CORTEX, place.thread, await _cortex(line, place.own, rng.choice(PAGES))))
    return found


async def _openai(line: Line, thread: str, prefix: str, size: int) -> Lines:
    lines, after = list[tuple[str, str]](), ""
    while True:
        reply = await line.read(f"{prefix}/threads/{thread}/messages?limit={size}&order=asc{after}")
        page = _page(reply, "data" if prefix else None)
        lines += [(one["role"], "\n".join(part["text"]["value"] for part in one["content"])) for one in page]
        if not page:
            return lines
        after = f"&after={page[-1]['id']}"


async def _cortex(line: Line, number: str, size: int) -> Lines:
    lines, last = list[tuple[str, str]](), ""
    while True:
        reply = await line.read(f"{THREADS}/{number}?page_size={size}{last}")
        page = _page(reply, "messages")
        if not page:
            return lines[::-1]
        lines += [(one["role"], one["message_payload"]) for one in page]
        last = f"&last_message_id={page[-1]['message_id']}"


def _page(reply: Reply, name: str | None) -> list[Any]:
    """Nothing where it is not answered with one: what was read so far is not the list."""
    return list((reply.body if name is None else reply.body[name]) if reply.acknowledged else ())
