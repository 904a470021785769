"""One suite for all dialects: create, say something, see it run, page, decide, interrupt, delete; and in each other.

One service with one worker serves all tests of this module, each test has an account of its own. Two apis stand before
the same database, because Cortex' two shapes are two settings of an api.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count, permutations
from typing import Any

import pytest
import pytest_asyncio

from api import routes
from tests.agents import Stage
from tests.contract.cortex_client import Cortex
from tests.contract.dialects import ASKS, Answer, Dialect, Line
from tests.contract.dialects.cortex import CortexThreads
from tests.contract.dialects.mosoo import Mosoo
from tests.contract.dialects.openai import OpenAI
from tests.places import place
from tests.servers import Addresses
from tests.service import Client, Service, running_api, running_service

pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.asyncio(loop_scope="module")]

NAMES = ("mosoo", "cortex-documented", "cortex-live", "openai-v1", "openai-aiml")
APPROVE = "worker.runners.demo:approve"
QUESTION = "I would like to answer. May I?"  # what `approve` says before it asks
SLOW = "/slow 60"  # the demo agent counts that long, unless it is interrupted

each = pytest.mark.parametrize("name", NAMES)


@dataclass(slots=True)
class House:
    """The service, with the address of an api for each of Cortex' shapes."""

    service: Service
    live: str
    accounts: Iterator[int] = field(default_factory=count)

    async def user(self) -> "User":
        client = await self.service.client(f"account-{next(self.accounts)}")
        stage = Stage(self.service, client)
        await stage.become("worker.runners.demo:echo")
        return User(stage, {one.name: one for one in self._dialects(client)})

    def _dialects(self, client: Client) -> list[Dialect]:
        db, live = self.service.pool, replace(client, url=self.live)
        return [
            Mosoo(client),
            CortexThreads(Cortex(client), db, "documented"),
            CortexThreads(Cortex(live), db, "live"),
            OpenAI(client, "v1"),
            OpenAI(client, "aiml"),
        ]


@dataclass(slots=True)
class User:
    """Somebody with an account and an agent, in every dialect."""

    stage: Stage
    dialects: dict[str, Dialect]

    async def names(self, name: str, thread: str) -> dict[str, str]:
        """What each dialect calls this dialect's thread: its ULID or, in Cortex, its number."""
        native = await self.dialects[name].native(thread)
        return {other: await dialect.own(native) for other, dialect in self.dialects.items()}

    async def asked(self, name: str) -> tuple[str, Answer]:
        """A thread of this dialect whose run waits for a permission."""
        await self.stage.become(APPROVE)
        thread = await self.dialects[name].create()
        asked = await self.dialects[name].ask(thread, "hello")
        assert asked.state == ASKS
        return thread, asked

    async def latest_run(self, thread: str) -> str:
        """By ULID of the thread: Cortex does not name a run before it has its answer."""
        found: str = await self.stage.service.pool.fetchval("select last_run_id from threads where id = $1", thread)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(addresses: Addresses) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(place(addresses))
        service = await stack.enter_async_context(running_service(settings, roles="all"))
        live = settings.model_copy(update={"cortex_shapes": "live"})
        yield House(service, await stack.enter_async_context(running_api(live)))


@pytest_asyncio.fixture(loop_scope="module")
async def user(house: House) -> User:
    return await house.user()


def said(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.role, line.text) for line in lines]


def echoed(*words: str) -> list[tuple[str, str]]:
    """What was said to the demo agent, and its answers."""
    return [(role, word) for word in words for role in ("user", "assistant")]


@each
async def test_what_is_said_is_answered_and_read_page_by_page(user: User, name: str) -> None:
    dialect = user.dialects[name]
    thread = await dialect.create()
    assert await dialect.lines(thread, 20) == []
    words = ["one", "two words", "drei: ü"]
    for word in words:
        answer = await dialect.ask(thread, word)
        assert (answer.state, answer.text, answer.asks) == ("completed", word, ())
    whole = await dialect.lines(thread, 20)
    assert said(whole) == echoed(*words)
    for size in (1, 2, 5):
        assert said(await dialect.lines(thread, size)) == said(whole)


@each
async def test_a_run_that_fails_says_so_and_the_thread_goes_on(user: User, name: str) -> None:
    dialect = user.dialects[name]
    thread = await dialect.create()
    failed = await dialect.ask(thread, "/fail")
    assert (failed.state, failed.error) == ("failed", "demo.failed")
    assert (await dialect.ask(thread, "again")).text == "again"
    assert said(await dialect.lines(thread, 20)) == [("user", "/fail"), *echoed("again")]


@each
async def test_a_permission_is_asked_for_and_granted_or_denied(user: User, name: str) -> None:
    dialect = user.dialects[name]
    await user.stage.become(APPROVE)
    thread = await dialect.create()
    for allow, text in ((True, "water the plants"), (False, "I did not answer: rejected.")):
        asked = await dialect.ask(thread, "water the plants")
        assert (asked.state, asked.text, len(asked.asks)) == (ASKS, QUESTION, 1)
        assert asked.run is not None
        answer = await dialect.decide(thread, asked.run, asked.asks[0], allow=allow)
        assert (answer.state, answer.run, answer.text, answer.asks) == ("completed", asked.run, text, ())


@each
async def test_a_run_that_works_is_interrupted_and_the_thread_goes_on(user: User, name: str) -> None:
    """Cortex has no word for it: its runs are interrupted in Mosoo's, and what its client hears is the same."""
    dialect = user.dialects[name]
    breaker = dialect if dialect.interrupts else user.dialects["mosoo"]
    assert dialect.interrupts or name.startswith("cortex")
    thread = await dialect.create()
    native = await dialect.native(thread)
    async with dialect.working(thread, SLOW) as working:
        assert await breaker.interrupt(native, await user.latest_run(native)) == "cancelled"
        assert (await working.rest()).state == "cancelled"
    assert (await dialect.ask(thread, "next")).text == "next"
    lines = said(await dialect.lines(thread, 20))
    assert (lines[0], lines[-2:]) == (("user", SLOW), echoed("next"))
    assert lines[1][1].startswith("1 ")  # what it had said by then is kept


async def test_cortex_alone_has_no_word_for_an_interrupt() -> None:
    """As soon as a route of its is one, the suite must use it."""
    anything: Any = type("Anything", (), {"__getattr__": lambda self, name: self})()
    served = {route.path.rstrip("/") for route in routes.cortex_routes(anything, anything)}
    assert served == {
        *(f"{routes.CORTEX}{path}" for path in ("/threads", "/threads/{id}", "/agent:run")),
        f"{routes.CORTEX_AGENT}:run",
    }


@each
async def test_a_deleted_thread_is_gone_for_every_call_of_every_dialect(user: User, name: str) -> None:
    thread, asked = await user.asked(name)
    own = await user.names(name, thread)
    await user.dialects[name].delete(thread)
    await does_not_exist(user, own, asked)


@each
async def test_a_thread_of_somebody_else_does_not_exist_in_any_dialect(house: House, user: User, name: str) -> None:
    thread, asked = await user.asked(name)
    await does_not_exist(await house.user(), await user.names(name, thread), asked)
    answer = await user.dialects[name].decide(thread, str(asked.run), asked.asks[0], allow=True)
    assert answer.state == "completed"


@pytest.mark.parametrize(("made", "used"), list(permutations(NAMES, 2)))
async def test_a_thread_of_one_dialect_is_at_home_in_another(user: User, made: str, used: str) -> None:
    """Answered, decided, interrupted, deleted in the other one; what it says is the same in all of them."""
    maker, other = user.dialects[made], user.dialects[used]
    thread = await maker.create()
    assert (await maker.ask(thread, "one")).text == "one"
    names = await user.names(made, thread)
    assert (await other.ask(names[used], "two")).text == "two"
    assert (await maker.ask(thread, "three")).text == "three"
    await says(user, names, echoed("one", "two", "three"))

    if other.interrupts:
        async with maker.working(thread, SLOW) as working:
            run = await user.latest_run(names["mosoo"])
            assert await other.interrupt(names[used], run) == "cancelled"
            assert (await working.rest()).state == "cancelled"

    await user.stage.become(APPROVE)
    asked = await maker.ask(thread, "four")
    answer = await other.decide(names[used], str(asked.run), asked.asks[0], allow=True)
    assert (answer.state, answer.run, answer.text) == ("completed", asked.run, "four")
    await other.delete(names[used])
    await does_not_exist(user, names, asked)


async def says(user: User, names: dict[str, str], wanted: list[tuple[str, str]]) -> None:
    """A thread in every dialect: the same words in the same order, and each message by the id that it has there."""
    rows = await user.stage.service.pool.fetch(
        "select id, num from messages where thread = $1 order by num", names["mosoo"]
    )
    ids, numbers = [row["id"] for row in rows], [str(row["num"]) for row in rows]
    for name, dialect in user.dialects.items():
        lines = await dialect.lines(names[name], 4)
        assert (name, said(lines)) == (name, wanted)
        if name != "mosoo":  # its log holds a message as one event or more, which have ids of their own
            assert [line.id for line in lines] == (numbers if name.startswith("cortex") else ids)


async def does_not_exist(user: User, names: dict[str, str], asked: Answer) -> None:
    """Whatever is called on a thread, in whatever dialect."""
    for name, dialect in user.dialects.items():
        statuses = await dialect.statuses(names[name], str(asked.run), asked.asks[0])
        assert (name, set(statuses.values())) == (name, {404}), statuses
