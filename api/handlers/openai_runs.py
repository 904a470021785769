"""Runs of the OpenAI dialect: ask for one, list, read, cancel, decide what it asks."""

from aiohttp import web
from pydantic_core import from_json

from api import replies
from api.dialects.openai import decode, encode
from api.handlers import openai
from api.handlers.door import Door
from api.handlers.openai import Window
from api.handlers.openai_stream import RunStreams
from api.handlers.openai_telling import Place
from api.submission import Applied, NewThread, Pending
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
        thread = await self._door.thread(caller, thread_id)
        await self._check_agent(caller, asked.agent, thread.agent)
        event = RunRequested(RunId(ids.mint()), asked.agent, asked.messages, metadata=asked.metadata)
        answer = await openai.submit(self._door, caller, thread.id, (event,))
        place = Place(thread.partition, thread.id, asked.agent)
        record = _made(event, answer)
        if asked.stream:
            return await self._streams.follow(request, caller, place, record, answer)
        return replies.document(encode.run(record, thread.id, asked.agent))

    async def create_with_thread(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/threads/runs"""
        caller = await self._door.tokens.caller(request)
        opening, asked = decode.opening_and_request(await self._door.body(request))
        await self._check_agent(caller, asked.agent, None)
        new, thread = NewThread(None, caller.kind, metadata=opening.metadata), ThreadId(ids.mint())
        event = RunRequested(RunId(ids.mint()), asked.agent, metadata=asked.metadata)
        answer = await openai.submit(self._door, caller, thread, (*opening.messages, event), new)
        record = _made(event, answer)
        if asked.stream:
            place = Place(await self._door.postgres.partition_of(thread), thread, asked.agent)
            made = encode.thread(thread, openai.thread_made_at(answer), opening.metadata)
            return await self._streams.follow(request, caller, place, record, answer, made)
        return replies.document(encode.run(record, thread, asked.agent))

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
        thread = await self._door.thread(caller, thread_id)
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
        thread = await self._door.thread(caller, thread_id)
        record = await self._one(thread, run_id)
        headers = None if record.run.terminal else {"openai-poll-after-ms": _POLL_AFTER}
        return replies.document(encode.run(record, thread.id, thread.agent), headers=headers)

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/threads/{threadId}/runs/{runId}/cancel"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = openai.thread_id(request), openai.run_id(request)
        thread = await self._door.thread(caller, thread_id)
        record = await self._one(thread, run_id)
        answer = await openai.submit(self._door, caller, thread.id, (UserInterrupt(run_id),))
        if isinstance(answer, Pending):
            return replies.document(encode.run(record, thread.id, thread.agent, status="cancelling"))
        return replies.document(encode.run(_as_of(answer, record.usage, record.metadata), thread.id, thread.agent))

    async def submit_tool_outputs(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/threads/{threadId}/runs/{runId}/submit_tool_outputs"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = openai.thread_id(request), openai.run_id(request)
        given = decode.outputs(await self._door.body(request))
        thread = await self._door.thread(caller, thread_id)
        record = await self._one(thread, run_id)
        if not record.requests:
            raise InvalidRequest(f"The run is {encode.run_status(record)}: it waits for no tool outputs.")
        decisions = given.events({one.id for one in record.requests})
        answer = await openai.submit(self._door, caller, thread.id, decisions)
        left = tuple(request for request in record.requests if request.id not in given.decisions)
        # also where that is not applied yet: nobody is to decide it twice
        decided = RunRecord(record.run, None, left, record.metadata)
        if given.stream:
            place = Place(thread.partition, thread.id, thread.agent)
            return await self._streams.follow(request, caller, place, decided, answer)
        return replies.document(encode.run(decided, thread.id, thread.agent))

    async def _one(self, thread: Thread, run: RunId) -> RunRecord:
        """Raises NotFound."""
        record = await self._find(thread, run)
        if record is None:
            raise NotFound("There is no such run.")
        return record

    async def _find(self, thread: Thread, run: RunId) -> RunRecord | None:
        return await runs.one(self._door.postgres, thread.partition, thread.id, run)


def _made(event: RunRequested, answer: Applied | Pending) -> RunRecord:
    """The run that a batch ends with."""
    if isinstance(answer, Pending):
        return encode.queued(event.run, answer.accepted_at, event.metadata)
    return _as_of(answer, None, event.metadata)


def _as_of(answer: Applied, usage: dict[str, int] | None, metadata: dict[str, str] | None) -> RunRecord:
    """The run that the last event of a batch was about, as it was right after it."""
    return encode.as_of(from_json(answer.outcome)["events"][-1]["run"], usage, metadata)
