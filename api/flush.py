"""Group commit: the batches that arrive while one flush is under way are written together by the next.

One autocommit statement a flush, on a connection of its own; no transaction is open between round trips, so an api
that is stopped holds nobody up. On an error the flush is taken again row by row, always with the same refs, after
the refs were looked up: one bad row never fails its neighbours, and a commit whose answer was lost is found. A batch
that attaches files has a statement for itself, which locks them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import structlog

from api import broken, verdicts
from api.columns import asked, columns_of_keys
from api.precedence import Precedence
from api.standby import WARNED, Standby
from api.submission import Fresh, Submission, Verdict
from api.tracing import Tracing
from shared.crashpoints import armed, crash
from shared.db.connect import AWAY, BY_INDEX, DURABLE, MET, Line
from shared.db.statements import statements
from shared.errors import InternalError, ServiceInactive
from shared.ids import AccountId
from shared.metrics import ACCEPT_SECONDS, ACCEPTED, FLUSH_SECONDS, FLUSH_SIZE, POSTGRES_ERRORS
from shared.tasks import about

log = structlog.get_logger()
SQL = statements("inbox")

SIZE = 4 << 20  # characters of one statement, but for a batch that is larger by itself: nobody waits for many of those
LOCK_TIMEOUT_MS = 250  # nothing here waits for a lock longer than a client would notice
STATEMENT_TIMEOUT = 5.0  # seconds; a flush takes milliseconds. One that hangs is looked up on a new connection
BUSY = (*MET, asyncpg.UniqueViolationError)  # of the ref: a try that was given up for lost was committed meanwhile
TRIES = 3  # of one row, on errors that say nothing about it
PAUSE = 0.01  # seconds, the longer the more tries there were, and by chance: who met is not to meet again


@dataclass(slots=True, eq=False)
class _Entry:
    submission: Submission
    verdict: asyncio.Future[Verdict]
    since: float  # of the loop's clock

    @property
    def account(self) -> AccountId:
        return self.submission.account


@dataclass(slots=True)
class Flusher:
    """Writes submissions in groups. `accept` is what everyone calls; `run` is the loop that its owner keeps."""

    database_url: str
    reply_to: str  # this api's name: where workers publish outcomes
    limit: int  # batches a statement
    on_accepted: Callable[[Sequence[tuple[Submission, Fresh]]], None]  # after the commit, before anyone is answered
    tracing: Tracing | None = None
    _line: Line = field(init=False)
    _waiting: list[_Entry] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _precedence: Precedence = field(default_factory=Precedence)
    _standby: Standby = field(default_factory=lambda: Standby(STATEMENT_TIMEOUT))

    def __post_init__(self) -> None:
        self._line = Line(self.database_url, **BY_INDEX, **DURABLE, **WARNED, lock_timeout=str(LOCK_TIMEOUT_MS))

    async def accept(self, submission: Submission) -> Verdict:
        """The verdict on one submission, committed where it is Fresh. Raises ServiceInactive."""
        loop = asyncio.get_running_loop()
        entry = _Entry(submission, loop.create_future(), loop.time())
        self._waiting.append(entry)
        self._arrived.set()
        return await entry.verdict

    async def run(self) -> None:
        """Flushes until it is cancelled; who is under way then is told to come again."""
        while True:
            await self._arrived.wait()
            entries = self._next()
            if not self._waiting:
                self._arrived.clear()
            if not entries:
                await self._rest()
                continue
            began = asyncio.get_running_loop().time()
            try:
                await self._flush(entries)
                _measure(entries, began)
                if self._precedence.owes:
                    await asyncio.sleep(0)  # the answers are part of what it took
                    self._precedence.rest(began)
            finally:
                for entry in entries:
                    _refuse(entry, ServiceInactive("The service is stopping.", retry_after=1))

    def _next(self) -> list[_Entry]:
        """Those of the next statement: as many as it may have, and as large."""
        entries: list[_Entry] = []
        size = 0
        for entry in self._precedence.order(self._waiting)[: self.limit]:
            size += entry.submission.size
            if entries and size > SIZE:
                break
            entries.append(entry)
        going = {id(entry) for entry in entries}
        self._waiting = [entry for entry in self._waiting if id(entry) not in going]
        return entries

    async def _rest(self) -> None:
        """Until whoever waits may go, or somebody else comes."""
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._precedence.rest_until):
                await self._arrived.wait()
        self._arrived.set()

    async def close(self) -> None:
        """Refuses what still waits and closes the connection."""
        entries, self._waiting = self._waiting, []
        for entry in entries:
            _refuse(entry, ServiceInactive("The service is stopping.", retry_after=1))
        await self._line.close()

    async def _flush(self, entries: Sequence[_Entry]) -> None:
        for kind in _by_kind(entries):
            group = [entry for entry in kind if not entry.verdict.done()]
            if not group:
                continue
            try:
                await self._write(group)
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("flush").inc()
                log.warning("flush failed, taken again row by row", rows=len(group), error=error)
                if isinstance(error, TimeoutError):  # what hangs would cost as long again
                    await self._line.drop()
                elif isinstance(error, BUSY):
                    await asyncio.sleep(about(PAUSE, 1.0))
                await self._one_by_one(group, entries)
            except Exception:  # the loop must live: whoever waits is told, and it is logged
                log.exception("flush failed")
                for entry in group:
                    _refuse(entry, InternalError())

    async def _write(self, entries: Sequence[_Entry]) -> None:
        """Writes a group of one kind and answers its entries; raises what Postgres raises."""
        began = 0 if self.tracing is None else time.time_ns()
        connection = await self._line.get()
        submissions = [entry.submission for entry in entries]
        statement, arguments = asked(submissions, self.reply_to)
        if armed("ack_before_commit") and submissions[0].new is None:
            await broken.answer_too_soon(entry.verdict for entry in entries)
        crash("api.before_commit")
        self._standby.listen(connection)
        rows = await connection.fetch(SQL[statement], *arguments, timeout=STATEMENT_TIMEOUT)
        crash("api.after_commit")
        await self._standby.confirm_if_warned(connection)
        await self._settle(entries, rows, began)

    async def _settle(self, entries: Sequence[_Entry], rows: Sequence[asyncpg.Record], began: int) -> None:
        """Rings for what went in, answers what is clear, and asks again about keyed entries that did not go in."""
        answers: list[tuple[_Entry, Verdict]] = []
        unclear: list[tuple[_Entry, Verdict]] = []
        fresh: list[tuple[Submission, Fresh]] = []
        for entry, row in zip(entries, rows, strict=True):
            if row["batch"] is not None:
                verdict = verdicts.fresh(row)
                fresh.append((entry.submission, verdict))
                answers.append((entry, verdict))
            else:
                judged_later = entry.submission.idempotency is not None
                (unclear if judged_later else answers).append((entry, verdicts.refused(entry.submission, row)))
        self._tell(fresh)  # first: the bell is to be rung before 48 answers are written
        if self.tracing is not None:
            self.tracing.flushed(fresh, began)
        for entry, answer in answers:
            _answer(entry, answer)
        if unclear:
            await self._judge(unclear)

    def _tell(self, fresh: Sequence[tuple[Submission, Fresh]]) -> None:
        if fresh:
            FLUSH_SIZE.observe(len(fresh))
            ACCEPTED.inc(len(fresh))
            self.on_accepted(fresh)

    async def _judge(self, unclear: Sequence[tuple[_Entry, Verdict]]) -> None:
        """Answers keyed entries that did not go in: by their key, else by their thread.

        A key that an entry holds itself comes from a try whose answer was lost.
        """
        crash("api.before_judge")
        entries = [entry for entry, _ in unclear]
        connection = await self._line.get()
        rows = await connection.fetch(
            SQL["judge"], *columns_of_keys([entry.submission for entry in entries]), timeout=STATEMENT_TIMEOUT
        )
        found = {row["n"]: row for row in rows}
        if found:
            await self._standby.confirm(connection)
        for n, (entry, refusal) in enumerate(unclear, start=1):
            row = found.get(n)
            if row is None:
                _answer(entry, refusal)
            elif row["ref"] != entry.submission.ref or not await self._find(entry):
                _answer(entry, verdicts.judged(row))

    async def _one_by_one(self, group: Sequence[_Entry], flush: Sequence[_Entry]) -> None:
        """Each by itself. Where Postgres turns out to be away, the rest is refused too: safe to send again."""
        for n, entry in enumerate(group):
            try:
                await self._take_again(entry)
            except AWAY as error:
                # Where Postgres hangs, the rest of the flush and who came meanwhile would only wait for the same.
                behind = (*flush, *self._waiting) if isinstance(error, TimeoutError) else ()
                for rest in (*group[n:], *behind):
                    _refuse(rest, _inactive(error))
                return

    async def _take_again(self, entry: _Entry) -> None:
        """One entry, a few times: looked up by its ref first, since it may have gone in. Raises `AWAY`."""
        for attempt in range(1, TRIES + 1):
            if entry.verdict.done():
                return
            await self._line.get()  # where Postgres takes no connection, there is nothing to try again
            try:
                crash("api.before_find")
                if not await self._find(entry):
                    crash("api.before_rewrite")
                    await self._write([entry])
                    crash("api.after_rewrite")
            except AWAY as error:
                await self._line.drop()
                if attempt == TRIES or isinstance(error, TimeoutError):
                    raise
            except BUSY as error:
                if attempt == TRIES:
                    _refuse(entry, _inactive(error))
                    return
                await asyncio.sleep(about(PAUSE * attempt, 1.0))
            except asyncpg.PostgresError:
                log.exception("a batch could not be written", **_ids(entry.submission))
                _refuse(entry, InternalError())

    async def _find(self, entry: _Entry) -> bool:
        connection = await self._line.get()
        where = ([entry.submission.partition], [entry.submission.ref])
        rows = await connection.fetch(SQL["find"], *where, timeout=STATEMENT_TIMEOUT)
        if rows:
            await self._standby.confirm(connection)
        for row in rows:
            verdict = verdicts.fresh(row)
            self._tell([(entry.submission, verdict)])
            _answer(entry, verdict)
        return bool(rows)


def _measure(entries: Sequence[_Entry], began: float) -> None:
    now = asyncio.get_running_loop().time()
    FLUSH_SECONDS.observe(now - began)
    ACCEPT_SECONDS.observe([now - entry.since for entry in entries])


def _by_kind(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    plain = [entry for entry in entries if not entry.submission.files]
    creates = [entry for entry in plain if entry.submission.new is not None]
    others = [entry for entry in plain if entry.submission.new is None]
    alone = [[entry] for entry in entries if entry.submission.files]
    return [group for group in (creates, others, *alone) if group]


def _answer(entry: _Entry, verdict: Verdict) -> None:
    if not entry.verdict.done():  # its handler may be gone
        entry.verdict.set_result(verdict)


def _refuse(entry: _Entry, error: Exception) -> None:
    if not entry.verdict.done():
        entry.verdict.set_exception(error)


def _ids(submission: Submission) -> dict[str, str]:
    """For a line about it: the flush is nobody's request."""
    return {"ref": submission.ref, "thread": submission.thread, "account": submission.account}


def _inactive(error: BaseException) -> ServiceInactive:
    message = f"The database is away ({type(error).__name__}). Try again with the same Idempotency-Key."
    return ServiceInactive(message, retry_after=1)
