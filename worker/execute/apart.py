"""Threads are taken and recovered many at a time; what one of them holds must not keep the others waiting."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from worker.load import Where
from worker.poison import is_state

log = structlog.get_logger()
T = TypeVar("T")


async def apart(act: Callable[[Sequence[Where]], Awaitable[T]], where: Sequence[Where]) -> list[T]:
    """What `act`, which is one transaction, gives for all threads at once; where it fails, for each by itself, without
    those that it fails for. Raises what says that Postgres is away.
    """
    try:
        return [await act(where)]
    except Exception as error:
        if is_state(error):
            raise
        if len(where) == 1:
            log.exception("a thread's run can't be taken, or recovered", thread=where[0][1])
            return []
    return [found for one in where for found in await apart(act, [one])]
