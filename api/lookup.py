"""A look-up that is remembered for a while: bounded, and made once however many requests wait for it.

Refused here: knowing what is looked up. How long an answer is kept is a function of the answer, so that a caller
can trust "yes" longer than "no".
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Lookup(Generic[Key, Value]):
    """`get` answers from memory, else from `load`; `keep` says for how many seconds an answer holds."""

    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value | None]],
        keep: Callable[[Value | None], float],
        limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._keep = keep
        self._limit = limit
        self._clock = clock
        self._known: dict[Key, tuple[Value | None, float]] = {}
        self._loading: dict[Key, asyncio.Task[Value | None]] = {}

    async def get(self, key: Key) -> Value | None:
        """The value, or None where there is none. Raises what `load` raises; errors are not remembered."""
        known = self._known.get(key)
        if known is not None and known[1] > self._clock():
            return known[0]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load_one(key))
            task.add_done_callback(_seen)
        return await asyncio.shield(task)

    async def _load_one(self, key: Key) -> Value | None:
        # Counted from before the look-up: what changes while it is under way is not trusted longer for that.
        asked_at = self._clock()
        try:
            value = await self._load(key)
        finally:
            del self._loading[key]
        if len(self._known) >= self._limit:
            self._forget()
        self._known[key] = (value, asked_at + self._keep(value))
        return value

    def _forget(self) -> None:
        """Drops what is out of date; everything, where that is not half of it."""
        now = self._clock()
        current = {key: entry for key, entry in self._known.items() if entry[1] > now}
        self._known = current if len(current) <= self._limit // 2 else {}


def _seen(task: "asyncio.Task[Value | None]") -> None:
    """Takes note of an error that nobody waits for any more: its client is gone."""
    if not task.cancelled():
        task.exception()
