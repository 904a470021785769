"""`threadmill` where something is wrong or missing: one line, an exit code, and help that helps."""

import json
import shlex
from pathlib import Path

import asyncpg
import pytest

from shared.settings import Settings
from tests.e2e.command_line import Threadmill
from tests.rows import Owner, add_batch, add_thread
from tests.servers import on_database

pytestmark = pytest.mark.timeout(60)


async def test_without_redis_the_state_is_shown_and_the_command_fails(threadmill: Threadmill) -> None:
    ended = await threadmill("queue", "status", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 1
    assert json.loads(ended.out)["redis"] is None
    assert json.loads(ended.out)["postgres"]["waiting"]["value"] == 0
    assert ended.err.startswith("threadmill: redis is away")
    assert ended.err.count("\n") == 1


async def test_without_postgres_the_state_of_redis_is_shown(threadmill: Threadmill) -> None:
    ended = await threadmill("queue", "status", "--json", DATABASE_URL="postgresql://127.0.0.1:1/nothing")
    assert ended.code == 1
    assert json.loads(ended.out)["postgres"] is None
    assert json.loads(ended.out)["redis"]["waiting"] == {}
    assert ended.err.count("\n") == 1


async def test_the_doctor_names_each_problem_and_exits_1(threadmill: Threadmill) -> None:
    ended = await threadmill("doctor", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert (ended.code, ended.err) == (1, "")
    document = json.loads(ended.out)
    found = {one["code"]: one for one in document["problems"]}
    assert not document["well"]
    assert {"no_api", "no_worker", "redis_away"} <= set(found)
    assert all(one["what"] and one["cause"] and one["next_step"] for one in found.values())
    ended = await threadmill("doctor", DATABASE_URL="postgresql://127.0.0.1:1/nothing")
    assert ended.code == 1
    assert ended.out.startswith("error    postgres_away: ")
    assert "  do next: Start it or mend the way." in ended.out


@pytest.mark.straight
async def test_a_postgres_that_takes_no_writes_is_told_as_what_it_is(
    threadmill: Threadmill, settings: Settings
) -> None:
    ended = await threadmill("migrate", DATABASE_URL=f"{settings.database_url}?default_transaction_read_only=on")
    assert ended.code == 1
    assert ended.err.startswith("threadmill: Postgres is read-only: a standby perhaps,")
    assert ended.err.count("\n") == 1
    assert "lost" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["account", "create", ""], 2),
        (["agent", "create", "echo", "--runner", "python", "--config", '{"function":"a:b"}'], 2),  # of which account?
        (["agent", "create", "echo", "--runner", "python", "--config", "{"], 2),
        (["agent", "create", "echo", "--runner", "python", "--busy-policy", "never"], 2),
        (["token", "create", "--account", "nobody"], 1),
        (["token", "revoke", "x", "--yes"], 1),
        (["agent", "show", "nobody"], 1),
        (["queue", "show", "12"], 1),
        (["queue", "list", "--limit", "0"], 2),
        (["dead", "replay", "12"], 1),
        (["dead", "discard", "12", "--reason", "x", "--yes"], 1),
        (["thread", "show", "x"], 1),
        (["run", "show", "x"], 1),
        (["queue", "nonsense"], 2),
    ],
)
async def test_what_goes_wrong_is_said_in_one_line(threadmill: Threadmill, arguments: list[str], code: int) -> None:
    ended = await threadmill(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("threadmill: ")
    assert ended.err.count("\n") == 1


async def test_a_database_that_lacks_the_schema_is_said_to(threadmill: Threadmill, settings: Settings) -> None:
    empty = on_database(settings.database_url, "postgres")
    for arguments in (["account", "list"], ["queue", "status"]):
        ended = await threadmill(*arguments, DATABASE_URL=empty)
        assert ended.code == 2
        assert "threadmill migrate" in ended.err


async def test_a_database_that_does_not_answer_is_said_to(threadmill: Threadmill) -> None:
    ended = await threadmill("account", "list", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert (ended.code, ended.out) == (2, "")
    assert "127.0.0.1:1" in ended.err
    assert "hunter2" not in ended.err


async def test_a_hostile_message_reaches_the_terminal_as_text(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    stored = json.dumps([{"type": "user_message", "text": "[red]\x1b]0;owned\x07[/nothing] \u202egnp"}])
    await add_batch(pool, owner, await add_thread(pool, owner), stored)
    ended = await threadmill("queue", "list")
    assert ended.code == 0
    assert "[red]" in ended.out
    assert not {"\x1b", "\x07", "\u202e"} & set(ended.out)


@pytest.mark.parametrize(
    "noun", ["account", "token", "agent", "queue", "dead", "thread", "run", "webhook", "worker", "audit"]
)
async def test_every_command_explains_itself_with_an_example(threadmill: Threadmill, noun: str) -> None:
    page = await threadmill(noun, "--help")
    assert page.code == 0
    verbs = [line.split()[1] for line in page.out.split("Commands")[1].splitlines() if line.startswith("│ ")]
    assert verbs
    for verb in verbs:
        shown = await threadmill(noun, verb, "--help")
        assert f"Example:  threadmill {noun} {verb}" in shown.out
        assert "--json" in shown.out


@pytest.mark.slow
async def test_a_process_ends_with_the_code_of_its_command(threadmill_process: Threadmill) -> None:
    assert (await threadmill_process("account", "create", "acme", "--json")).document["name"] == "acme"
    assert (await threadmill_process("account", "create", "acme")).code == 1
    assert (await threadmill_process("account", "create", " ")).code == 2


async def test_the_first_commands_of_the_operations_page_work_in_their_order(threadmill: Threadmill) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    block = page.split("## Start, scale, upgrade, stop")[1].split("```")[1]
    lines = [line for line in block.splitlines() if line.startswith("threadmill ")]
    assert len(lines) == 4
    for line in lines:
        ended = await threadmill(*shlex.split(line, comments=True)[1:])
        assert ended.code == 0, ended.err


async def test_a_noun_alone_shows_its_page_and_nothing_else(threadmill: Threadmill) -> None:
    ended = await threadmill("queue")
    assert ended.code == 2
    assert "status" in ended.out + ended.err
    assert "threadmill: " not in ended.err


async def test_what_postgres_refuses_is_said_in_one_line(threadmill: Threadmill, pool: asyncpg.Pool) -> None:
    await pool.execute("alter table accounts add constraint short check (length(name) < 3)")
    ended = await threadmill("account", "create", "acme")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("threadmill: Postgres refused: ")
    assert ended.err.count("\n") == 1
