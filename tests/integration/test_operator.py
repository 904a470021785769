"""What an operator sends to a run: told as what it came to, and pressed twice sent once."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from api import operator
from api.inbox import Inbox
from api.operator import Came, Decision, Done, Operator
from api.postgres import Postgres
from api.submission import Answer, Submission
from shared.audit import Actor, Via
from shared.errors import Conflict
from shared.events import UserInterrupt
from shared.ids import RunId, ThreadId
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted
from tests.driver import Driver
from tests.locks import waiters
from tests.pipeline import message
from tests.watch import until

ANNA, BEN = Actor("anna@host", Via.CLI), Actor("ben@host", Via.CONSOLE)


@pytest.fixture
def who(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Waits for no worker: what is to be applied, the test applies."""
    monkeypatch.setattr(operator, "WAIT", 0.02)
    return Operator(driver.caller.inbox, Postgres(driver.pool))


async def finished(driver: Driver) -> tuple[ThreadId, RunId]:
    thread, run = await driver.executing(message("hello"))
    await driver.send(thread, UserInterrupt(run))
    return thread, run


async def logged(driver: Driver) -> list[tuple[int | None, str | None]]:
    return [(entry.touched, entry.result) for entry in reversed((await auditlog.page(driver.pool, 20, Wanted())).items)]


async def refused(driver: Driver, again: str) -> bool:
    """Whether a deed adds nothing to what is accepted already."""
    touched, result = (await logged(driver))[-1]
    return touched == 0 and result is not None and again in result


async def test_a_retry_that_nobody_applies_is_accepted_and_pressed_again_adds_nothing(
    driver: Driver, who: Operator
) -> None:
    thread, run = await finished(driver)
    pressed = [who.retry(actor, run, thread) for actor in (ANNA, BEN, BEN)]
    answers = await asyncio.gather(*pressed, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, Done)] == [Done(thread, None, [], Came.LATER)]
    assert all("not applied yet" in answer.message for answer in answers if isinstance(answer, Conflict))
    assert sorted(touched or 0 for touched, _ in await logged(driver)) == [0, 0, 1]
    assert (1, "accepted, not applied yet") in await logged(driver)
    await driver.drain()
    assert len(await driver.runs(thread)) == 2
    with pytest.raises(Conflict, match="retries it already"):
        await who.retry(ANNA, run, thread)
    (retry,) = [row["id"] for row in await driver.runs(thread) if row["id"] != run]
    await driver.send(thread, UserInterrupt(retry))
    assert (await who.retry(ANNA, run, thread)).came is Came.LATER, "its retry is over: there may be one more"
    await driver.drain()
    assert len(await driver.runs(thread)) == 3


async def test_a_deed_that_had_no_effect_may_have_one_later(driver: Driver, who: Operator) -> None:
    thread, run = await driver.executing(message("hello"))
    assert (await who.retry(ANNA, run, thread)).came is Came.LATER
    await driver.drain()  # run_not_finished
    await driver.send(thread, UserInterrupt(run))
    assert (await who.retry(ANNA, run, thread)).came is Came.LATER
    await driver.drain()
    assert len(await driver.runs(thread)) == 2


async def test_an_interrupt_and_a_decision_are_applied_once(driver: Driver, who: Operator) -> None:
    thread, run, (request,) = await driver.asking()
    assert (await who.decide(ANNA, request, Decision.ALLOW, "go on", thread)).came is Came.LATER
    with pytest.raises(Conflict, match="Nothing is added"):
        await who.decide(BEN, request, Decision.ALLOW, "go on", thread)
    await driver.drain()
    assert (await driver.requests(thread))[request]["note"] == "go on"
    assert (await who.interrupt(ANNA, run, thread)).came is Came.LATER
    with pytest.raises(Conflict, match="Nothing is added"):
        await who.interrupt(BEN, run, thread)
    assert await refused(driver, "Nothing is added")
    await driver.drain()
    assert await driver.pool.fetchval("select status from runs where id = $1", run) == "cancelled"
    assert (
        await driver.pool.fetchval(
            "select count(*) from batches where thread = $1 and token = $2", *(thread, operator.OPERATOR)
        )
        == 2
    )


async def test_an_operator_who_goes_away_when_it_is_committed_leaves_a_true_entry(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, run = await driver.executing(message("hello"))
    heard, submit = asyncio.Event(), Inbox.submit

    async def watched(
        inbox: Inbox, submission: Submission, wait: float, committed: Callable[[], None], *, over_limit: bool
    ) -> Answer:
        def told() -> None:
            committed()
            heard.set()

        return await submit(inbox, submission, wait, told, over_limit=over_limit)

    monkeypatch.setattr(Inbox, "submit", watched)
    await leave(driver, run, thread, heard.wait)
    assert await logged(driver) == [(1, "accepted, not applied yet")]
    await driver.drain()
    assert await driver.pool.fetchval("select status from runs where id = $1", run) == "cancelled"


async def test_an_operator_who_goes_away_while_it_is_sent_leaves_an_entry_that_says_so(driver: Driver) -> None:
    thread, run = await driver.executing(message("hello"))
    async with driver.pool.acquire() as other, other.transaction():
        await other.execute("lock table batches in exclusive mode")  # so that its commit can't come
        await leave(driver, run, thread, lambda: until(partial(waiters, other, "batches")))
        assert await logged(driver) == [(None, "left while it was sent: it may be accepted")]
    sent = "select exists (select from batches where token = $1)"
    await until(lambda: driver.pool.fetchval(sent, operator.OPERATOR))
    await driver.drain()
    assert await driver.pool.fetchval("select status from runs where id = $1", run) == "cancelled", "it was accepted"


async def leave(driver: Driver, run: RunId, thread: ThreadId, moment: Callable[[], Awaitable[object]]) -> None:
    """An operator interrupts the run, and goes away at that moment."""
    task = asyncio.create_task(Operator(driver.caller.inbox, Postgres(driver.pool)).interrupt(ANNA, run, thread))
    await moment()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_operators_who_press_at_the_same_moment_make_one_run(
    driver: Driver, who: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "WAIT", 5.0)
    thread, run = await finished(driver)
    presses = asyncio.gather(*(who.retry(BEN, run, thread) for _ in range(5)), return_exceptions=True)
    while not presses.done():
        await driver.drain()
    answers = await presses
    runs = {row["id"] for row in await driver.runs(thread)} - {run}
    assert len(runs) == 1
    assert {answer.run for answer in answers if isinstance(answer, Done)} == runs
    assert all(isinstance(answer, Done | Conflict) for answer in answers)
