"""Loads what the core needs to know of the threads of a drain: one query a noun, and none for nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import asyncpg
from pydantic_core import from_json

from shared.db.records import queued_run_of, request_of, run_of, steer_of, thread_of
from shared.db.statements import statements
from shared.events import Event
from shared.ids import AgentId, MessageId, RequestId, RunId, ThreadId
from shared.lifecycle import ALL_RUNS, Names, State, may_meet_requests, names, needed_runs
from shared.lifecycle.state import Note, Waiting
from shared.models import EXECUTING, BusyPolicy, PermissionRequest, Run, RunStatus, Steer, Thread
from shared.reports import RunnerEvent

SQL = statements("load")

Where = tuple[int, ThreadId]  # the key of a thread

_POLICY = {policy.value: policy for policy in BusyPolicy}
_seq = attrgetter("seq")
_NONE_WAITS = Waiting(0, 0)


class Want(NamedTuple):
    """A thread of the drain and all that is about to happen to it, in order."""

    partition: int
    thread: ThreadId
    events: Sequence[Event | RunnerEvent]


class States(dict[ThreadId, State]):
    """The state of each thread that exists."""

    hooked: frozenset[ThreadId] = frozenset()  # those whose agents have a webhook
    epochs: Mapping[ThreadId, int] = MappingProxyType({})  # of those that somebody has a lease of


async def lock_threads(connection: asyncpg.Connection, where: Sequence[Where]) -> None:
    """Locks the threads in the order of their ids; what is read after this is up to date."""
    await connection.fetch(SQL["lock_threads"], *_columns(where))


async def load_states(connection: asyncpg.Connection, wants: Sequence[Want]) -> States:
    """The state of each thread that exists, loaded as far as its events reach."""
    found = await _threads(connection, wants)
    threads, queues = found.threads, found.queues
    present = [want for want in wants if want.thread in threads]
    named = {want.thread: names(want.events) for want in present}
    seen = await _seen(connection, present, named)
    executing = _executing([want for want in present if may_meet_requests(want.events)], queues)
    waiting = [where for where in executing if queues[where[1]][0].status is RunStatus.WAITING_INPUT]
    requests = await _requests(connection, present, waiting, named)
    others = await _named(connection, present, named, seen, queues, requests)
    steers = await _steers(connection, [where for where in executing if where[1] in found.steered])
    notes = await _notes(connection, present, named)
    unanswered = await _waiting(connection, [(w.partition, w.thread) for w in present if named[w.thread].waiting])
    states = States(
        (
            thread,
            State(
                thread=record,
                policy=policy,
                queue=tuple(queues.get(thread, ())),
                others=others.get(thread, {}),
                requests=requests.get(thread, {}),
                seen=seen.get(thread, {}),
                steers=tuple(steers.get(thread, ())),
                notes=notes.get(thread, {}),
                waiting=unanswered.get(thread, _NONE_WAITS),
                fallback=found.fallbacks.get(thread),
            ),
        )
        for thread, (record, policy) in threads.items()
    )
    states.hooked, states.epochs = frozenset(found.hooked), found.epochs
    return states


@dataclass(slots=True)
class _Fronts:
    """Threads with their agents' policies and the fronts of their queues, and what is to be asked for besides."""

    threads: dict[ThreadId, tuple[Thread, BusyPolicy]] = field(default_factory=dict)
    queues: dict[ThreadId, list[Run]] = field(default_factory=dict)
    hooked: set[ThreadId] = field(default_factory=set)
    steered: set[ThreadId] = field(default_factory=set)
    epochs: dict[ThreadId, int] = field(default_factory=dict)
    fallbacks: dict[ThreadId, AgentId] = field(default_factory=dict)

    def add(self, thread: ThreadId, row: asyncpg.Record) -> None:
        self.threads[thread] = (thread_of(row), _POLICY[row["busy_policy"]])
        self.queues[thread] = []
        if row["hooked"]:
            self.hooked.add(thread)
        if row["steered"]:
            self.steered.add(thread)
        if row["epoch"] is not None:
            self.epochs[thread] = row["epoch"]
        if row["agent"] is None and row["fallback"] is not None:
            self.fallbacks[thread] = row["fallback"]


async def _threads(connection: asyncpg.Connection, wants: Sequence[Want]) -> _Fronts:
    need = [needed_runs(want.events, BusyPolicy.QUEUE) for want in wants]
    where = _columns([(want.partition, want.thread) for want in wants])
    fronts = _Fronts()
    for row in await connection.fetch(SQL["threads"], *where, need, ALL_RUNS):
        thread = row["id"]
        if thread not in fronts.threads:
            fronts.add(thread, row)
        if row["run_id"] is not None:
            fronts.queues[thread].append(queued_run_of(row))
    for queue in fronts.queues.values():
        queue.sort(key=_seq)
    return fronts


def _executing(wants: Sequence[Want], queues: Mapping[ThreadId, Sequence[Run]]) -> list[Where]:
    """Threads whose current run executes: only those have messages offered to a runner, or open requests."""
    return [
        (want.partition, want.thread)
        for want in wants
        if (queue := queues.get(want.thread)) and queue[0].status in EXECUTING
    ]


async def _seen(
    connection: asyncpg.Connection, wants: Sequence[Want], named: Mapping[ThreadId, Names]
) -> dict[ThreadId, dict[str, RunId]]:
    asked = [(w.partition, w.thread, text) for w in wants for text in named[w.thread].client_requests]
    seen: dict[ThreadId, dict[str, RunId]] = defaultdict(dict)
    if asked:
        for row in await connection.fetch(SQL["client_requests"], *zip(*asked, strict=True)):
            seen[row["thread"]][row["client_request_id"]] = row["run"]
    return seen


async def _named(
    connection: asyncpg.Connection,
    wants: Sequence[Want],
    named: Mapping[ThreadId, Names],
    seen: Mapping[ThreadId, Mapping[str, RunId]],
    queues: Mapping[ThreadId, Sequence[Run]],
    requests: Mapping[ThreadId, Mapping[RequestId, PermissionRequest]],
) -> dict[ThreadId, dict[RunId, Run]]:
    """Runs that events, client request ids or permission requests stand for, beyond those of the queue."""
    asked: list[tuple[int, ThreadId, RunId]] = []
    for want in wants:
        known = {run.id for run in queues.get(want.thread, ())}
        asking = {request.run for request in requests.get(want.thread, {}).values()}
        wanted = {*named[want.thread].runs, *seen.get(want.thread, {}).values(), *asking} - known
        asked += [(want.partition, want.thread, run) for run in sorted(wanted)]
    if not asked:
        return {}
    rows = await connection.fetch(SQL["named_runs"], *zip(*asked, strict=True))
    return {thread: {run.id: run for run in runs} for thread, runs in _grouped(rows).items()}


async def _requests(
    connection: asyncpg.Connection,
    wants: Sequence[Want],
    waiting: Sequence[Where],
    named: Mapping[ThreadId, Names],
) -> dict[ThreadId, dict[RequestId, PermissionRequest]]:
    """Open requests, which only runs that wait have, and those that decisions name."""
    asked = [(w.partition, w.thread, request) for w in wants for request in named[w.thread].requests]
    if not waiting and not asked:
        return {}
    columns = zip(*asked, strict=True) if asked else ([], [], [])
    found: dict[ThreadId, dict[RequestId, PermissionRequest]] = defaultdict(dict)
    for row in await connection.fetch(SQL["permission_requests"], *_columns(waiting), *columns):
        found[row["thread"]][row["id"]] = request_of(row)
    return found


async def _steers(connection: asyncpg.Connection, executing: Sequence[Where]) -> dict[ThreadId, list[Steer]]:
    found: dict[ThreadId, list[Steer]] = defaultdict(list)
    if executing:
        for row in await connection.fetch(SQL["steers"], *_columns(executing)):
            found[row["thread"]].append(steer_of(row))
    return found


async def _notes(
    connection: asyncpg.Connection, wants: Sequence[Want], named: Mapping[ThreadId, Names]
) -> dict[ThreadId, dict[MessageId | None, Note]]:
    """What edits change: what is kept with messages, by their ids, and with threads."""
    messages = [(w.partition, w.thread, message) for w in wants for message in sorted(named[w.thread].messages)]
    threads = [(w.partition, w.thread) for w in wants if named[w.thread].metadata]
    found: dict[ThreadId, dict[MessageId | None, Note]] = defaultdict(dict)
    if messages:
        for row in await connection.fetch(SQL["message_notes"], *zip(*messages, strict=True)):
            found[row["thread"]][row["id"]] = Note(from_json(row["metadata"] or "{}"), row["run"], row["waits"])
    if threads:
        for row in await connection.fetch(SQL["thread_notes"], *_columns(threads)):
            found[row["id"]][None] = Note(from_json(row["metadata"]))
    return found


async def _waiting(connection: asyncpg.Connection, where: Sequence[Where]) -> dict[ThreadId, Waiting]:
    """How much waits for a run in each thread."""
    rows = await connection.fetch(SQL["waiting_messages"], *_columns(where)) if where else ()
    return {row["id"]: Waiting(row["messages"], row["size"]) for row in rows}


def _columns(where: Sequence[Where]) -> tuple[list[int], list[ThreadId]]:
    return [partition for partition, _ in where], [thread for _, thread in where]


def _grouped(rows: Sequence[asyncpg.Record]) -> dict[ThreadId, list[Run]]:
    runs: dict[ThreadId, list[Run]] = defaultdict(list)
    for row in rows:
        runs[row["thread"]].append(run_of(row))
    return runs
