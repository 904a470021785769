"""One call of a webhook: signed, bounded, judged. Refused: deciding what becomes of its row (`worker.webhooks`)."""

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

import httpx2
from standardwebhooks import Webhook

from shared import __version__
from shared.ids import AgentId, RunId, Ulid
from shared.webhooks import PREFIX

TIMEOUT = 10.0  # seconds for one call, all of it
BASE = 5.0  # seconds before the second try at most; doubled for each further one
CAP = 3_600.0  # seconds between two tries at most
ANSWER_LIMIT = 1 << 16  # bytes of an answer that are read: after a short one its connection is used again
ERROR_LIMIT = 300  # characters


class Due(NamedTuple):
    """A row that this worker has taken."""

    partition: int
    id: Ulid
    run: RunId
    agent: AgentId
    type: str
    body: str
    attempts: int  # this one among them
    url: str | None  # null where the agent has no webhook any more
    secret: str | None
    now: datetime

    @property
    def ids(self) -> dict[str, str | int]:
        """For a span of the call."""
        return {
            "threadmill.webhook.id": PREFIX + self.id,
            "threadmill.webhook.attempts": self.attempts,
            "threadmill.webhook.type": self.type,
            "threadmill.run.id": self.run,
            "threadmill.agent.id": self.agent,
        }


class Tried(NamedTuple):
    """What one call came to. `final`: nobody should try again."""

    due: Due
    status: int | None
    error: str | None  # null: delivered
    final: bool = False


def delay(attempts: int, chance: float) -> float:
    """Seconds until the next try: anything up to twice as long each time (`chance` is 0 to 1), so that rows that failed
    together don't come back together."""
    return chance * min(CAP, BASE * 2.0 ** min(attempts - 1, 20))


async def tell(client: httpx2.AsyncClient, due: Due, traceparent: str | None = None) -> Tried:
    """One call, whatever comes of it. `traceparent` (W3C) is of the span that it is, where somebody records it."""
    if due.url is None or due.secret is None:
        return Tried(due, None, "the agent has no webhook any more", final=True)
    try:
        async with asyncio.timeout(TIMEOUT):
            status = await _post(client, due, due.url, Webhook(due.secret), traceparent)
    except TimeoutError:
        return Tried(due, None, f"no answer within {TIMEOUT:g} s")
    except Exception as error:  # what somebody else's server does, or what stands in a row, may not end a worker
        return Tried(due, None, _line(error))
    return _judged(due, status)


async def _post(client: httpx2.AsyncClient, due: Due, url: str, webhook: Webhook, traceparent: str | None) -> int:
    """Sends the message, signed; returns the status of the answer."""
    message = PREFIX + due.id
    headers = {
        "content-type": "application/json",
        "user-agent": f"threadmill/{__version__}",
        "webhook-id": message,
        "webhook-timestamp": str(int(due.now.timestamp())),
        "webhook-signature": webhook.sign(message, due.now, due.body),
    }
    if traceparent is not None:
        headers["traceparent"] = traceparent
    async with client.stream("POST", url, content=due.body.encode(), headers=headers) as answer:
        read = 0
        async for piece in answer.aiter_raw():
            read += len(piece)
            if read > ANSWER_LIMIT:
                break
        return answer.status_code


def _judged(due: Due, status: int) -> Tried:
    if 200 <= status < 300:
        return Tried(due, status, None)
    if status == HTTPStatus.GONE:
        return Tried(due, status, "the receiver says that it is gone (410)", final=True)
    if 300 <= status < 400:
        return Tried(due, status, f"answered {status}: redirects are not followed")
    return Tried(due, status, f"answered {status}")


def _line(error: BaseException) -> str:
    """An error as one line that Postgres can keep."""
    text = " ".join(str(error).encode(errors="replace").decode().split()).replace("\0", "") or type(error).__name__
    return text[:ERROR_LIMIT]
