"""What agents' webhooks are told of runs that moved: rows of the outbox, written in the transaction of the move.

Only threads whose agents have a webhook are `hooked`; the others cost nothing here. Refused: any call; what is written
is delivered by `worker.webhooks`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from pydantic_core import to_json

from shared import documents, ids
from shared.effects import RequestOpened
from shared.ids import ThreadId
from shared.models import Run, RunStatus, Thread
from worker.rows import Row, Where

TYPES = {
    RunStatus.COMPLETED: "run.completed",
    RunStatus.FAILED: "run.failed",
    RunStatus.EXPIRED: "run.failed",  # its error says that it expired
    RunStatus.CANCELLED: "run.cancelled",
    RunStatus.WAITING_INPUT: "run.waiting_input",
}
_BODY = '{"type":"%s","timestamp":"%s","data":{"account":"%s","agent":"%s","thread":"%s","run":%s%s}}'


def outbox_rows(
    hooked: Collection[ThreadId],
    threads: Mapping[ThreadId, Thread],
    moved: Iterable[tuple[Where, Run, RunStatus | None]],
    opened: Sequence[tuple[Where, RequestOpened]],
    now: datetime,
) -> Iterator[Row]:
    """A row for each run of a hooked thread that came to an end, or to a wait; `moved` has the statuses before.

    `threads` are those that changed, which a thread with a moved run has.
    """
    for where, run, before in moved:
        kind = TYPES.get(run.status)
        if kind is None or where[1] not in hooked:
            continue
        asked = [one for _, one in opened if one.request.run == run.id]
        if before is run.status and not asked:  # it waited, and waits for the same
            continue
        thread = threads[where[1]]
        body = _BODY % (
            kind,
            documents.moment(run.updated_at),
            thread.account,
            thread.agent,
            thread.id,
            documents.run(run),
            _requests(asked) if run.status is RunStatus.WAITING_INPUT else "",
        )
        yield (*where, ids.at(now), run.id, thread.agent, kind, body)


def _requests(asked: Iterable[RequestOpened]) -> str:
    found = [{"id": one.request.id, "title": one.title} for one in asked]
    return f',"requests":{to_json(found).decode()}'
