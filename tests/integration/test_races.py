"""A thousand interleavings of each pair that may meet, the tables checked after them."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from api.submission import Passes
from shared.events import PermissionDecision, ThreadDeleted, UserInterrupt
from shared.ids import BatchRef, RunId, ThreadId
from shared.models import BusyPolicy
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import message
from tests.races import Race, racing

pytestmark = pytest.mark.slow  # a thousand of each

THREADS, MOST = 125, 8  # a thousand threads, each an interleaving of its own
ROUNDS = int(os.environ.get("RACE_ROUNDS", MOST))  # at least: more, where some way to end was hardly seen
SEEN = 5  # of each way it may end: fewer mean that nothing raced
SOON, LATER = 0.05, 0.2  # seconds that an actor may hesitate: about what the drains of a round take

CHECKS = {
    "a thread counts its active runs": """
        select t.id from threads t where t.active_runs <>
            (select count(*) from runs r where r.thread = t.id and r.completed_at is null)""",
    "a busy thread says so": """
        select id from threads where (status = 'RUNNING') <> (active_runs > 0)""",
    "a run ends once and says so once": """
        select r.id from runs r where (r.completed_at is not null) and 1 <>
            (select count(*) from thread_events e where e.thread = r.thread and e.run = r.id
                and e.type in ('run.completed', 'run.failed'))""",
    "nothing of a run follows its end": """
        select e.id from thread_events e join thread_events o on o.thread = e.thread and o.run = e.run and o.id > e.id
        where e.type in ('run.completed', 'run.failed')""",
    "the log ends where the thread says": """
        select t.id from threads t where t.last_event_id is distinct from
            (select max(e.id::text)::uuid from thread_events e where e.thread = t.id)""",
    "the last run is the newest": """
        select t.id from threads t join runs r on r.thread = t.id and r.seq > t.last_run_seq""",
    "every batch is applied": "select id from batches where applied_at is null",
    "nothing is a dead letter": "select id from batches where attempts > 0 or parked_at is not null",
    "a settled request has no pending run": """
        select p.id from permission_requests p join runs r on r.thread = p.thread and r.id = p.run
        where p.state = 'pending' and r.completed_at is not null""",
}


async def race_of(
    driver: Driver, settings: Settings, seed: int, ways: set[str], play: Callable[[Race], Awaitable[Counter[str]]]
) -> Counter[str]:
    """Plays the rounds, checks the tables; how often each way to end was seen, all of `ways` and nothing else."""
    ends: Counter[str] = Counter()
    async with racing(settings, driver, seed) as race:
        for played in range(max(ROUNDS, MOST)):
            if played >= ROUNDS and all(ends[way] >= SEEN for way in ways):
                break
            ends += await play(race)
    for promise, offenders in CHECKS.items():
        assert await driver.pool.fetch(offenders) == [], promise
    assert set(ends) == ways
    assert min(ends.values()) >= SEEN, ends
    return ends


async def outcomes(driver: Driver) -> dict[BatchRef | None, dict[str, Any]]:
    rows = await driver.pool.fetch("select ref, outcome from batches")
    return {row["ref"]: json.loads(row["outcome"]) for row in rows}


def warned(outcome: dict[str, Any]) -> str:
    return ",".join(warning["code"] for warning in outcome["warnings"])


async def test_a_cancel_against_an_append(driver: Driver, settings: Settings) -> None:
    async def play(race: Race) -> Counter[str]:
        appended: Counter[ThreadId] = Counter()
        finished: dict[ThreadId, bool] = {}
        cancels: dict[ThreadId, BatchRef | None] = {}

        async def execute(thread: ThreadId, run: RunId) -> None:
            for _ in range(race.random.randint(0, 2)):
                appended[thread] += await race.append(thread, run)
            finished[thread] = await race.append(thread, run, finish=True)
            appended[thread] += finished[thread]

        async def cancel(thread: ThreadId, run: RunId | None) -> None:
            cancels[thread] = await race.send(thread, UserInterrupt(run))

        made = {thread: run for thread, (run, _) in (await race.executing(THREADS)).items()}
        await race.run(
            (SOON, [partial(execute, thread, run) for thread, run in made.items()]),
            (LATER, [partial(cancel, thread, race.random.choice((run, None))) for thread, run in made.items()]),
        )
        found = await outcomes(driver)
        status = {row["id"]: row["status"] for row in await driver.pool.fetch("select id, status from runs")}
        written = Counter(
            row["thread"]
            for row in await driver.pool.fetch("select thread from thread_events where type = 'agent.message.delta'")
        )
        for thread, run in made.items():
            assert status[run] == ("completed" if finished[thread] else "cancelled")
            assert written[thread] == appended[thread]
            assert bool(warned(found[cancels[thread]])) == finished[thread]
        return Counter(status[run] for run in made.values())

    await race_of(driver, settings, 1, {"completed", "cancelled"}, play)


async def test_a_finish_against_a_new_message(driver: Driver, settings: Settings) -> None:
    async def play(race: Race) -> Counter[str]:
        finished: dict[ThreadId, bool] = {}
        sent: dict[ThreadId, tuple[BusyPolicy, RunId, BatchRef | None]] = {}

        async def finish(thread: ThreadId, run: RunId) -> None:
            finished[thread] = await race.append(thread, run, finish=True)

        async def say(thread: ThreadId) -> None:
            said = message(on_busy=race.random.choice(list(BusyPolicy)))
            assert said.on_busy is not None
            sent[thread] = (said.on_busy, said.run, await race.send(thread, said))

        made = {thread: run for thread, (run, _) in (await race.executing(THREADS)).items()}
        await race.run(
            (SOON, [partial(finish, thread, run) for thread, run in made.items()]),
            (LATER, [partial(say, thread) for thread in made]),
        )
        found = await outcomes(driver)
        runs: dict[ThreadId, dict[RunId, str]] = defaultdict(dict)
        for row in await driver.pool.fetch("select thread, id, status from runs"):
            runs[row["thread"]][row["id"]] = row["status"]
        ends: Counter[str] = Counter()
        for thread, run in made.items():
            policy, minted, ref = sent[thread]
            result = found[ref]["events"][0]["run"]
            rejected = warned(found[ref]) == "run_active"
            cancelled = policy is BusyPolicy.INTERRUPT and not finished[thread]
            busy = rejected or cancelled or warned(found[ref]) == "queued_behind" or result["id"] == run
            assert rejected == (result is None) == (policy is BusyPolicy.REJECT and busy)
            assert runs[thread] == {
                run: "cancelled" if cancelled else "completed",
                **({} if rejected else {minted: "queued"}),
            }
            ends[f"{policy} {'busy' if busy else 'idle'}"] += 1
        return ends

    ways = {f"{policy} {how}" for policy in BusyPolicy for how in ("busy", "idle")}
    await race_of(driver, settings, 2, ways, play)
    assert await driver.pool.fetchval("select count(*) from steers where not settled") == 0


async def test_a_decision_against_a_decision(driver: Driver, settings: Settings) -> None:
    async def play(race: Race) -> Counter[str]:
        sent: dict[ThreadId, list[tuple[bool, BatchRef | None]]] = defaultdict(list)

        async def decide(thread: ThreadId, request: str, allow: bool) -> None:
            sent[thread].append((allow, await race.send(thread, PermissionDecision(request, allow))))

        made = {thread: request for thread, (_, request) in (await race.executing(THREADS, asking=True)).items()}
        for_each = [(thread, request, allow) for thread, request in made.items() for allow in (True, False, False)]
        await race.run((SOON, [partial(decide, *one) for one in for_each]))
        found = await outcomes(driver)
        rows = await driver.pool.fetch("select thread, state from permission_requests")
        states = {row["thread"]: row["state"] for row in rows}
        for thread in made:
            told = [(allow, warned(found[ref])) for allow, ref in sent[thread]]
            assert [allow for allow, codes in told if not codes] == [states[thread] == "allowed"]
            assert sorted(codes for _, codes in told) == ["", *["permission_already_decided"] * 2]
        return Counter(states[thread] for thread in made)

    await race_of(driver, settings, 3, {"allowed", "rejected"}, play)


async def test_a_delete_against_an_accept(driver: Driver, settings: Settings) -> None:
    async def play(race: Race) -> Counter[str]:
        before: dict[ThreadId, BatchRef | None] = {}
        during: dict[ThreadId, BatchRef | None] = {}
        after: dict[ThreadId, BatchRef | None] = {}

        async def delete(thread: ThreadId) -> None:
            before[thread] = await race.send(thread, message("before"))
            await race.send(thread, ThreadDeleted(), passes=Passes.ARCHIVED | Passes.HELD)
            after[thread] = await race.send(thread, message("after"))

        async def say(thread: ThreadId) -> None:
            during[thread] = await race.send(thread, message("during"))

        made = await race.executing(THREADS)
        await race.run((LATER, [partial(delete, thread) for thread in made]), (LATER, [partial(say, t) for t in made]))
        found = await outcomes(driver)

        def end(ref: BatchRef | None) -> str:
            return "refused" if ref is None else warned(found[ref])

        for thread in made:
            assert end(before[thread]) == "queued_behind"
            assert end(after[thread]) in {"refused", "thread_deleted"}
            assert end(during[thread]) in {"queued_behind", "refused", "thread_deleted"}
        in_time = Counter(end(during[thread]) == "queued_behind" for thread in made)
        return Counter({"in time": in_time[True], "too late": in_time[False]})

    ends = await race_of(driver, settings, 4, {"in time", "too late"}, play)
    assert await driver.pool.fetchval("select count(*) from threads where deleted_at is null") == 0
    assert await driver.pool.fetchval("select count(*) from runs where status <> 'cancelled'") == 0
    assert await driver.pool.fetchval("select count(*) from runs") == 2 * ends.total() + ends["in time"]
