"""`threadmill webhook` and `threadmill agent webhook`, as an operator types them."""

import asyncpg
import pytest

from shared import ids
from tests.e2e.command_line import Threadmill
from tests.e2e.terminal import at_terminal
from tests.rows import Owner

pytestmark = pytest.mark.timeout(60)

URL = "https://example.com/hook"
ECHO = '{"function":"worker.runners.demo:echo"}'


async def a_message(pool: asyncpg.Pool, agent: str, *, dead: bool = False) -> str:
    """A row of the outbox, due in an hour or a dead letter; its id as a receiver sees it."""
    message = ids.mint()
    await pool.execute(
        "insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, attempts, parked_at, error)"
        " values (7, $1, $2, $2, $3, 'run.failed', '{\"type\":\"run.failed\"}', now() + interval '1 hour', 5,"
        " case when $4 then now() end, 'answered 500')",
        *(message, ids.mint(), agent, dead),
    )
    return f"msg_{message}"


async def an_agent(threadmill: Threadmill, name: str = "echo") -> str:
    made = await threadmill("agent", "create", name, "--runner", "python", "--config", ECHO, "--webhook", URL, "--json")
    agent: str = made.document["id"]
    return agent


async def test_an_agent_is_made_with_a_webhook_whose_secret_is_shown_once(threadmill: Threadmill, owner: Owner) -> None:
    made = await threadmill(
        "agent", "create", "echo", "--runner", "python", "--config", ECHO, "--webhook", URL, "--json"
    )
    secret = made.document["webhook_secret"]
    assert secret.startswith("whsec_")
    assert made.document["webhook_url"] == URL
    shown = await threadmill("agent", "show", "echo", "--json")
    assert shown.document["webhook_url"] == URL
    for again in (shown, await threadmill("agent", "show", "echo"), await threadmill("agent", "list", "--json")):
        assert URL in again.out
        assert "whsec_" not in again.out + again.err
        assert secret not in again.out + again.err


async def test_an_agent_that_is_refused_a_webhook_is_not_made(threadmill: Threadmill, owner: Owner) -> None:
    refused = await threadmill(
        "agent", "create", "echo", "--runner", "python", "--config", ECHO, "--webhook", "ftp://example.com/"
    )
    assert (refused.code, refused.out) == (2, "")
    assert "webhook: must begin with https://" in refused.err
    assert (await threadmill("agent", "list", "--json")).document == {"agents": [], "after": None}


async def test_a_webhook_is_set_moved_rotated_and_taken_away(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    agent = (await threadmill("agent", "create", "echo", "--runner", "python", "--config", ECHO, "--json")).document[
        "id"
    ]
    first = (await threadmill("agent", "webhook", "echo", "--url", URL, "--json")).document
    assert first | {"secret": None} == {"agent": agent, "url": URL, "secret": None}
    moved = (await threadmill("agent", "webhook", "echo", "--url", URL + "/2", "--json")).document
    assert moved == {"agent": agent, "url": URL + "/2", "secret": None}  # it keeps its secret, which was shown
    rotated = await threadmill("agent", "webhook", "echo", "--rotate", "--yes")
    secret = rotated.out.strip()
    assert secret.startswith("whsec_")
    assert secret != first["secret"]
    assert "one time" in rotated.err
    assert await pool.fetchval("select webhook_secret from agents") == secret
    assert (await threadmill("agent", "webhook", "echo", "--off", "--yes", "--json")).document["url"] is None
    assert tuple(await pool.fetchrow("select webhook_url, webhook_secret from agents")) == (None, None)
    without = await threadmill("agent", "webhook", "echo", "--rotate", "--yes")
    assert (without.code, without.out) == (1, "")
    assert "--url" in without.err


@pytest.mark.parametrize(
    "options", [(), ("--off", "--rotate", "--yes"), ("--url", URL, "--off", "--yes"), ("--url", "https://u:p@e.com/")]
)
async def test_a_change_of_a_webhook_that_makes_no_sense_changes_nothing(
    threadmill: Threadmill, owner: Owner, options: tuple[str, ...]
) -> None:
    await an_agent(threadmill)
    before = (await threadmill("agent", "show", "echo", "--json")).document
    assert (await threadmill("agent", "webhook", "echo", *options)).code == 2
    assert (await threadmill("agent", "show", "echo", "--json")).document == before


async def test_messages_are_listed_and_one_is_shown(threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner) -> None:
    agent = await an_agent(threadmill)
    due, dead = await a_message(pool, agent), await a_message(pool, agent, dead=True)
    listed = (await threadmill("webhook", "list", "--json")).document
    assert [(one["id"], one["state"], one["error"]) for one in listed["messages"]] == [
        (due, "due", "answered 500"),
        (dead, "dead", "answered 500"),
    ]
    assert listed["summary"]["dead"] == {"value": 1, "at_least": False}
    only = (await threadmill("webhook", "list", "--state", "dead", "--agent", "echo", "--json")).document["messages"]
    assert [one["id"] for one in only] == [dead]
    table = await threadmill("webhook", "list")
    assert due in table.out
    assert "dead letters: 1" in table.out
    shown = (await threadmill("webhook", "show", due, "--json")).document
    assert (shown["body"], shown["url"], shown["attempts"]) == ({"type": "run.failed"}, URL, 5)
    assert due in (await threadmill("webhook", "show", due.removeprefix("msg_").lower())).out
    assert (await threadmill("webhook", "show", f"msg_{ids.mint()}")).code == 1
    assert (await threadmill("webhook", "show", "msg_nonsense")).code == 2


async def test_messages_are_told_again_by_id_or_as_dead_letters(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    one, two = await an_agent(threadmill), await an_agent(threadmill, "other")
    due = await a_message(pool, one)
    mine, theirs = await a_message(pool, one, dead=True), await a_message(pool, two, dead=True)
    assert (await threadmill("webhook", "replay", due, "--json")).document == {"replayed": 1}
    assert (await threadmill("webhook", "replay", "--dead", "--agent", "echo", "--yes", "--json")).document == {
        "replayed": 1
    }
    listed = (await threadmill("webhook", "list", "--state", "due", "--json")).document["messages"]
    assert {(m["id"], m["attempts"], m["error"]) for m in listed} == {(due, 0, None), (mine, 0, None)}
    assert "1 to be told again" in (await threadmill("webhook", "replay", "--dead", "--all", "--yes")).out
    assert (await threadmill("webhook", "show", theirs, "--json")).document["state"] == "due"


async def test_a_replay_that_names_nothing_or_too_much_is_refused(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    agent = await an_agent(threadmill)
    dead = await a_message(pool, agent, dead=True)
    wrong = ((), ("--dead",), (dead, "--dead"), ("--all",), ("--dead", "--all", "--agent", "echo"), (dead, "--all"))
    for options in wrong:
        assert (await threadmill("webhook", "replay", *options)).code == 2, options
    assert (await threadmill("webhook", "replay", dead, f"msg_{ids.mint()}")).code == 1
    assert (await threadmill("webhook", "show", dead, "--json")).document["state"] == "dead"


async def test_what_ends_or_repeats_much_is_asked_for_first(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    dead = await a_message(pool, await an_agent(threadmill), dead=True)
    before = await pool.fetchrow("select webhook_url, webhook_secret from agents")
    for words in (
        *(("agent", "webhook", "echo", option) for option in ("--rotate", "--off")),
        *(("webhook", "replay", "--dead", *whose) for whose in (("--all",), ("--agent", "echo"))),
    ):
        ended = await threadmill(*words)
        assert (ended.code, ended.out, "has to be confirmed" in ended.err) == (2, "", True), words
    for option in ("--rotate", "--off"):
        unknown = await threadmill("agent", "webhook", "nobody", option)
        assert (unknown.code, "nobody" in unknown.err) == (1, True), "nobody is asked about what is not there"
    assert await pool.fetchrow("select webhook_url, webhook_secret from agents") == before
    assert (await threadmill("webhook", "show", dead, "--json")).document["state"] == "dead"


@pytest.mark.slow
async def test_a_replay_says_how_many_it_tells_and_leaves_what_dies_meanwhile(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner, environment: dict[str, str]
) -> None:
    agent = await an_agent(threadmill)
    for _ in range(2):
        await a_message(pool, agent, dead=True)
    async with at_terminal(environment, "webhook", "replay", "--dead", "--all") as terminal:
        await terminal.until("Tell 2 dead letters again?")
        late = await a_message(pool, agent, dead=True)
        terminal.type("y\n")
        await terminal.until("2 to be told again")
        assert await terminal.ended() == 0
    (left,) = (await threadmill("webhook", "list", "--state", "dead", "--json")).document["messages"]
    assert left["id"] == late


@pytest.mark.slow
async def test_the_secret_of_a_webhook_is_printed_nowhere_else(threadmill_process: Threadmill, owner: Owner) -> None:
    made = await threadmill_process("agent", "create", "echo", "--runner", "python", "--config", ECHO, "--webhook", URL)
    secret = made.out.strip().splitlines()[-1]
    assert secret.startswith("whsec_")
    assert (made.out + made.err).count(secret) == 1
    for words in (("agent", "show", "echo"), ("webhook", "list"), ("agent", "webhook", "echo", "--off", "--yes")):
        ended = await threadmill_process(*words, "--json")
        assert ended.code == 0, ended.err
        assert secret not in ended.out + ended.err
