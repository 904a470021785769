"""From a briefing to an execution: the context that its runner sees, and the hands that it needs. Refused: any I/O."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from shared.ids import AgentId, Ulid
from worker.execute.append import Writer
from worker.execute.archive import Archive
from worker.execute.artifacts import Artifacts
from worker.execute.briefing import Briefing
from worker.execute.execution import Execution
from worker.execute.leases import Lease
from worker.execute.shelf import ThreadShelf
from worker.execute.tape import Tape
from worker.runners import Context, Files
from worker.runners.openers import Openers

_NOBODY = AgentId(Ulid("0" * 26))  # in place of an agent where there is none: such a run makes no files


def prepare(
    one: Briefing,
    archive: Archive,
    openers: Openers,
    writer: Writer,
    let_go: Callable[[Lease], Awaitable[None]],
    stopping: asyncio.Event,
) -> Execution:
    """What drives the run, not begun. `stopping`: the worker is about to stop."""
    lease = one.lease
    return Execution(
        lease,
        _context(one, archive, stopping),
        partial(openers.open, one.agent, one.runner, one.config) if one.readable else one.refuse,
        writer,
        let_go,
        Tape(lease.run, one.used),
        partial(archive.recall, one),
        Artifacts(archive.cabinet, lease, one.account, one.agent.agent if one.agent else _NOBODY),
        traceparent=one.traceparent,
    )


def _context(one: Briefing, archive: Archive, stopping: asyncio.Event) -> Context:
    lease = one.lease
    return Context(
        thread=lease.where[1],
        run=lease.run,
        account=one.account,
        agent=one.agent.agent if one.agent else "",
        attempt=one.attempt,
        messages=one.messages,
        state=one.state,
        decisions=one.decisions,
        deadline=lease.deadline,
        ahead=lease.ahead,
        config=one.config,
        stopping=stopping,
        files=Files(ThreadShelf(archive.cabinet, lease.where)),
        read_history=partial(archive.history, one),
    )
