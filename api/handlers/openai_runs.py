"""Runs of the OpenAI dialect: ask for one, list, read, cancel, decide what it asks."""

from dataclasses import replace

from aiohttp import web

from api import replies
from api.dialects.openai import decode, encode, kept
from api.dialects.openai.decode import Outputs, Request
from api.handlers import openai, openai_writes
from api.handlers.door import Door
from api.handlers.openai import Window
from api.handlers.openai_stream import RunStreams
from api.handlers.openai_telling import Place
from api.handlers.openai_writes import Asked, Told
from api.submission import NewThread
from shared import ids, runs
from shared.errors import AgentNotPublished, Forbidden, InvalidRequest, NotFound
from shared.events import RunRequested, UserInterrupt
from shared.ids import AgentId, RunId, ThreadId
from shared.models import Thread
from shared.views import Caller, RunRecord

_POLL_AFTER = "300"  # milliseconds; without it OpenAI's clients ask once a second


class OpenAIRuns:
    def __init__(self, door: Door, streams: RunStreams) -> None:
        self._door = door
        self._streams = streams

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/threads/{threadId}/runs"""
        caller = await self._door.tokens.caller(request)
        thread_id = openai.thread_id(request)
        asked = decode.request(await self._door.body(request))
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread_id}/runs", asked.document)

        async def prepare() -> Asked:
            thread = await self._door.thread(caller, thread_id)
            await self._check_agent(caller, asked.agent, thread.agent)
            event = RunRequested(RunId(ids.mint()), asked.agent, asked.messages, metadata=asked.metadata)
            return Asked(thread.id, (event,), {"run": event.run})

        return await self._tell(request, caller, await write.tell(prepare), asked)

    async def create_with_thread(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/threads/runs"""
        caller = await self._door.tokens.caller(request)
        opening, asked = decode.opening_and_request(await self._door.body(request))
        document = {"thread": opening.document, "run": asked.document}
        write = openai_writes.begin(self._door, request, caller, "/threads/runs", document)

        async def prepare() -> Asked:
            await self._check_agent(caller, asked.agent, None)
            new, thread = NewThread(None, caller.kind, metadata=opening.metadata), ThreadId(ids.mint())
            event = RunRequested(RunId(ids.mint()), asked.agent, metadata=asked.metadata)
            return Asked(thread, (*opening.messages, event), {"run": event.run}, new)

        told = await write.tell(prepare)
        made = encode.thread(told.thread, told.thread_made_at, opening.metadata)
        return await self._tell(request, caller, told, asked, made)

    async def _tell(
        self, request: web.Request, caller: Caller, told: Told, asked: Request, made: encode.Document | None = None
    ) -> web.StreamResponse:
        """The run as it was made, whatever became of it since; `made`: its thread, where that is new."""
        if told.outcome is None:
            record = encode.queued(told.basis["run"], told.accepted_at, asked.metadata)
        else:
            record = _as_of(told, None, asked.metadata)
        if asked.stream:
            return await self._streams.follow(request, caller, await self._place(told, asked.agent), record, told, made)
        return replies.document(encode.run(record, told.thread, asked.agent), headers=told.headers)

    async def _place(self, told: Told, agent: AgentId | None) -> Place:
        return Place(await self._door.postgres.partition_of(told.thread), told.thread, agent)

    async def _check_agent(self, caller: Caller, id_: AgentId, bound: AgentId | None) -> None:
        """Raises NotFound, also for another account's; AgentNotPublished, but not where it has the thread already."""
        try:
            agent = await self._door.agents.of_account(id_, caller.account)
        except (Forbidden, NotFound):
            raise NotFound("There is no such assistant.") from None
        if not agent.published and agent.id != bound:
            raise AgentNotPublished

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/threads/{threadId}/runs"""
        caller = await self._door.tokens.caller(request)
        thread_id, window = openai.thread_id(request), openai.window(request)
        thread = await self._door.read(request, caller, thread_id)
        await self._check_cursors(thread, window)
        lower, upper = window.bounds
        found = await runs.page(
            self._door.postgres,
            thread.partition,
            thread.id,
            window.limit + 1,
            above=runs.FIRST if lower is None else RunId(lower),
            below=runs.LAST if upper is None else RunId(upper),
            descending=window.reads_descending,
        )
        page, more = window.shown(found)
        return openai.listed(request, [encode.run(record, thread.id, thread.agent) for record in page], more)

    async def _check_cursors(self, thread: Thread, window: Window) -> None:
        for name, cursor in (("after", window.after), ("before", window.before)):
            if cursor is not None and await self._find(thread, RunId(cursor)) is None:
                raise openai.unknown(name)

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/threads/{threadId}/runs/{runId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = openai.thread_id(request), openai.run_id(request)
        thread = await self._door.read(request, caller, thread_id)
        record = await self._one(thread, run_id)
        headers = None if record.run.terminal else {"openai-poll-after-ms": _POLL_AFTER}
        return replies.document(encode.run(record, thread.id, thread.agent), headers=headers)

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/threads/{threadId}/runs/{runId}/cancel"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = openai.thread_id(request), openai.run_id(request)
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread_id}/runs/{run_id}/cancel", {})

        async def prepare() -> Asked:
            thread = await self._door.thread(caller, thread_id)
            # Without what it asks for: that may be large, and nobody is asked any more.
            before = kept.run(replace(await self._one(thread, run_id), requests=()), thread.agent)
            return Asked(thread.id, (UserInterrupt(run_id),), before)

        told = await write.tell(prepare)
        record, agent = kept.recalled(told.basis)
        if told.outcome is None:
            return replies.document(encode.run(record, thread_id, agent, status="cancelling"))
        ended = _as_of(told, record.usage, record.metadata)
        return replies.document(encode.run(ended, thread_id, agent), headers=told.headers)

    async def submit_tool_outputs(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/threads/{threadId}/runs/{runId}/submit_tool_outputs"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = openai.thread_id(request), openai.run_id(request)
        given = decode.outputs(await self._door.body(request))
        path = f"/threads/{thread_id}/runs/{run_id}/submit_tool_outputs"
        write = openai_writes.begin(self._door, request, caller, path, given.document)

        async def prepare() -> Asked:
            thread = await self._door.thread(caller, thread_id)
            return _decided(given, await self._one(thread, run_id), thread)

        told = await write.tell(prepare)
        decided, agent = kept.recalled(told.basis)
        if given.stream:
            return await self._streams.follow(request, caller, await self._place(told, agent), decided, told)
        return replies.document(encode.run(decided, thread_id, agent), headers=told.headers)

    async def _one(self, thread: Thread, run: RunId) -> RunRecord:
        """Raises NotFound."""
        record = await self._find(thread, run)
        if record is None:
            raise NotFound("There is no such run.")
        return record

    async def _find(self, thread: Thread, run: RunId) -> RunRecord | None:
        return await runs.one(self._door.postgres, thread.partition, thread.id, run)


def _decided(given: Outputs, record: RunRecord, thread: Thread) -> Asked:
    """The decisions, and the run with what they leave open. Raises InvalidRequest.

    It is shown like that also where they are not applied yet: nobody is to decide it twice.
    """
    if not record.requests:
        raise InvalidRequest(f"The run is {encode.run_status(record)}: it waits for no tool outputs.")
    decisions = given.events({one.id for one in record.requests})
    left = tuple(request for request in record.requests if request.id not in given.decisions)
    return Asked(thread.id, decisions, kept.run(RunRecord(record.run, None, left, record.metadata), thread.agent))


def _as_of(told: Told, usage: dict[str, int] | None, metadata: dict[str, str] | None) -> RunRecord:
    """The run that the last event of a batch was about, as it was right after it."""
    return encode.as_of(told.outcome["events"][-1]["run"], usage, metadata)
