"""The baseline's transaction: one batch applied to its thread, statement by statement."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from pydantic_core import to_json

from bench.baseline.outcome import run_document, thread_document
from shared import ids
from shared.db.statements import statements
from shared.lifecycle import QUEUE_LIMIT

SQL = statements("baseline", "bench")
Document = dict[str, Any]


@dataclass(slots=True)
class Work:
    """One batch under way: the locked thread row and what its events came to so far."""

    connection: asyncpg.Connection
    thread: Document
    now: datetime
    results: list[Document] = field(default_factory=list)
    warnings: list[Document] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        self.warnings.append({"code": code, "message": message, "eventIndex": len(self.results)})


async def apply(
    connection: asyncpg.Connection, batch: str, thread: str, events: list[Document], accepted_at: datetime
) -> None:
    """Applies the batch and records its outcome. Raises UniqueViolationError where it was applied before."""
    async with connection.transaction():
        row = await connection.fetchrow(SQL["lock_thread"], thread)
        if row is None:
            return
        work = Work(connection, dict(row), row["now"])
        for event in events:
            await _apply_event(work, event)
        outcome = {
            "events": work.results,
            "thread": thread_document(work.thread),
            "warnings": work.warnings,
        }
        await connection.execute(
            SQL["record_batch"],
            batch,
            thread,
            to_json(events).decode(),
            accepted_at,
            to_json(outcome).decode(),
        )


async def _apply_event(work: Work, event: Document) -> None:
    match event["type"]:
        case "user_message":
            run = await _receive(work, event["text"])
        case "user_interrupt":
            run = await _interrupt(work, event.get("runId"))
        case _:
            run = await _decide(work, event["requestId"], event["decision"])
    request = event.get("clientRequestId")
    work.results.append(
        {"clientRequestId": request, "requestId": request, "run": run_document(run), "type": event["type"]}
    )


async def _receive(work: Work, text: str) -> Document | None:
    """A message starts a run, behind the current one where there is one."""
    thread, now = work.thread, work.now
    if thread["active_runs"] >= QUEUE_LIMIT:
        work.warn("queue_full", "The thread has as many queued runs as it may.")
        return None
    current = await work.connection.fetchrow(SQL["current_run"], thread["id"])
    if current is not None:
        work.warn("queued_behind", f"The run waits for {current['id']}.")
    run, message, seq = ids.mint(), ids.mint(), thread["last_run_seq"] + 1
    title = thread["title"] or " ".join(text.split())[:80]
    active, parts = thread["active_runs"] + 1, to_json([{"type": "text", "text": text}]).decode()
    await work.connection.execute(
        SQL["start_run"],
        thread["id"],
        run,
        message,
        ids.mint(),
        seq,
        text,
        parts,
        title,
        active,
        now,
        ids.mint(),
    )
    thread.update(title=title, status="RUNNING", active_runs=active, updated_at=now)
    thread.update(last_run_id=run, last_run_seq=seq)
    return {"id": run, "status": "queued", "trigger": "user_prompt", "created_at": now, "updated_at": now}


async def _interrupt(work: Work, named: str | None) -> Document | None:
    """The named run, or the current one, ends as cancelled."""
    thread, now = work.thread, work.now
    if named is None:
        run = await work.connection.fetchrow(SQL["current_run"], thread["id"])
    else:
        run = await work.connection.fetchrow(SQL["run_by_id"], thread["id"], named)
    if run is None or run["completed_at"] is not None:
        work.warn("no_active_run" if run is None else "run_already_finished", "There is nothing to interrupt.")
        return None if run is None else dict(run)
    active = thread["active_runs"] - 1
    await work.connection.execute(
        SQL["cancel_run"], thread["id"], run["id"], ids.mint(), run["id"], active, now, ids.mint()
    )
    thread.update(active_runs=active, status="RUNNING" if active else "IDLE", updated_at=now)
    started = run["started_at"] or now
    return dict(run) | {"status": "cancelled", "started_at": started, "updated_at": now, "completed_at": now}


async def _decide(work: Work, request: str, decision: str) -> Document | None:
    """A pending permission request is allowed or rejected; any other is a warning."""
    thread, known = work.thread["id"], ids.parse(request)
    row = known and await work.connection.fetchrow(SQL["permission"], thread, known)
    if not row:
        work.warn("permission_not_found", "The thread has no such permission request.")
        return None
    if row["state"] != "pending":
        work.warn("permission_already_decided", "The permission request was decided before.")
    else:
        state = "allowed" if decision == "allow_once" else "rejected"
        await work.connection.execute(SQL["decide_permission"], thread, known, state, work.now)
    return dict(await work.connection.fetchrow(SQL["run_by_id"], thread, row["run"]))
