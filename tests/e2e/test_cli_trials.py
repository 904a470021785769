"""`threadmill agent test`: a run that is stored nowhere, at a terminal and without one."""

import json
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.command_line import Make, Threadmill
from tests.e2e.terminal import at_terminal
from tests.rows import Owner
from tests.search import all_rows

pytestmark = pytest.mark.timeout(60)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


async def test_a_test_run_shows_what_the_agent_says_and_stores_nothing(
    threadmill: Threadmill, make: Make, pool: asyncpg.Pool
) -> None:
    await make("echo", "worker.runners.demo:echo")
    before = await all_rows(pool)
    ended = await threadmill("agent", "test", "echo", "Hello there")
    assert (ended.code, ended.out) == (0, "Hello there\n")
    assert "used 2 tokens in, 2 out" in ended.err
    assert await all_rows(pool) == before


async def test_a_test_run_as_json_is_one_document(threadmill: Threadmill, make: Make) -> None:
    await make("echo", "worker.runners.demo:echo")
    document = (await threadmill("agent", "test", "echo", "Hello there", "--json")).document
    assert (document["status"], document["text"], document["error"]) == ("completed", "Hello there", None)
    assert document["usage"] == {"input_tokens": 2, "output_tokens": 2}
    assert [one["type"] for one in document["outputs"]] == ["text_delta", "text_delta", "message_end", "usage"]


async def test_a_test_run_that_fails_says_its_code(threadmill: Threadmill, make: Make) -> None:
    await make("echo", "worker.runners.demo:echo")
    ended = await threadmill("agent", "test", "echo", "/fail")
    assert (ended.code, ended.err) == (1, "threadmill: demo.failed: The text asked for it.\n")
    ended = await threadmill("agent", "test", "echo", "/fail", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["error"] == {
        "code": "demo.failed",
        "message": "The text asked for it.",
        "retryable": False,
    }


async def test_what_the_authors_code_raised_is_shown_to_its_author(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "tests.unit.broken_runners:raises")
    ended = await threadmill("agent", "test", "mine", "Hello")
    assert ended.code == 1
    assert "broken_runners.py" in ended.err
    assert ended.err.splitlines()[-1] == "threadmill: runner.failed: The runner failed."


async def test_a_test_run_that_takes_too_long_expires(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "tests.unit.broken_runners:hangs", "--run-timeout", "600")
    ended = await threadmill("agent", "test", "mine", "Hello", "--timeout", "0.2", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["status"] == "expired"
    assert "run.expired" in ended.err


async def test_permissions_of_a_test_run_are_decided_as_was_said(
    threadmill: Threadmill, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    config = str(EXAMPLES / "weather.yaml")
    assert (await threadmill("agent", "create", "weather", "--runner", "python", "--config", config)).code == 0
    allowed = await threadmill("agent", "test", "weather", "Bergen", "--decide", "allow")
    assert allowed.out == "The weather in Bergen: a storm.\nEverybody in Bergen was warned.\n"
    assert 'uses send_warning {"city": "Bergen"' in allowed.err
    rejected = await threadmill("agent", "test", "weather", "Bergen", "--decide", "reject")
    assert rejected.out.endswith("Nobody was warned: rejected.\n")
    asked = await threadmill("agent", "test", "weather", "Bergen")
    assert asked.code == 2
    assert "--decide" in asked.err.splitlines()[-1]


async def test_a_runner_that_is_not_on_the_path_is_said_to(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "not_there:run")
    ended = await threadmill("agent", "test", "mine", "Hello")
    assert ended.code == 1
    assert ended.err.startswith("threadmill: runner.unavailable: ")
    assert ended.err.count("\n") == 1


async def test_a_hostile_answer_reaches_the_terminal_as_text(threadmill: Threadmill, make: Make) -> None:
    await make("echo", "worker.runners.demo:echo")
    ended = await threadmill("agent", "test", "echo", "[red]a\x1b]0;owned\x07\nb\tc \u202egnp")
    assert ended.out == "[red]a#]0;owned#\nb\tc #gnp\n".replace("#", "\N{REPLACEMENT CHARACTER}")


async def test_a_user_at_a_terminal_is_asked(make: Make, environment: dict[str, str]) -> None:
    await make("approve", "worker.runners.demo:approve")
    async with at_terminal(environment, "agent", "test", "approve", "the question") as terminal:
        await terminal.until("Allow it? (y/n) ")
        terminal.type("perhaps\n")
        await terminal.until("y or n? ")
        terminal.type("n\n")
        await terminal.until("A note for the agent")
        terminal.type("not today\n")
        await terminal.until("I did not answer: rejected (not today).")
        assert await terminal.ended() == 0


@pytest.mark.slow
async def test_ctrl_c_interrupts_the_run_also_while_it_asks(make: Make, environment: dict[str, str]) -> None:
    await make("approve", "worker.runners.demo:approve")
    await make("echo", "worker.runners.demo:echo")
    for agent, text, seen in (("echo", "/slow 60", "3 "), ("approve", "x", "Allow it? (y/n) ")):
        async with at_terminal(environment, "agent", "test", agent, text) as terminal:
            await terminal.until(seen)
            terminal.interrupt()
            await terminal.until("interrupted")
            assert await terminal.ended() == 130


@pytest.mark.long
@pytest.mark.slow
async def test_a_runner_that_ignores_the_interrupt_does_not_hold_the_terminal(
    make: Make, environment: dict[str, str]
) -> None:
    await make("mine", "tests.e2e.stubborn:run")
    async with at_terminal(environment, "agent", "test", "mine", "x") as terminal:
        await terminal.until("never")
        terminal.interrupt()
        await terminal.until("interrupted; the runner does not stop")
        assert await terminal.ended() == 130
    async with at_terminal(environment, "agent", "test", "mine", "x", "--timeout", "0.1", "--json") as terminal:
        await terminal.until('"status": "expired"')
        await terminal.until("run.expired: ")
        assert await terminal.ended() == 1


async def test_a_test_run_reads_files_and_saves_what_it_makes(
    threadmill: Threadmill, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    await make("tally", "tally:run")
    (tmp_path / "notes.txt").write_text("to be or not to be")
    (tmp_path / "out").mkdir()
    given = ("agent", "test", "tally", "count", "--file", str(tmp_path / "notes.txt"))
    for name in ("words.csv", "words 2.csv"):
        ended = await threadmill(*given, "--save", str(tmp_path / "out"))
        assert ended.out.endswith("6 words, 4 of them different: they stand in words.csv.\n")
        assert "file words.csv (text/csv, 40 bytes)" in ended.err
        assert (tmp_path / "out" / name).read_text() == 'word,times\n"be",2\n"to",2\n"not",1\n"or",1\n'
    (made,) = [one for one in (await threadmill(*given, "--json")).document["outputs"] if one["type"] == "file"]
    assert (made["name"], made["size"]) == ("words.csv", 40)
    missing = await threadmill("agent", "test", "tally", "count", "--file", str(tmp_path / "none.txt"))
    assert (missing.code, "none.txt" in missing.err) == (2, True)
    path = await threadmill("agent", "test", "tally", "count", "--file", str(tmp_path / "out"))
    assert path.code == 2
