"""`threadmill agent create --config`, `set` and `test`: what an agent's author types."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.command_line import Threadmill
from tests.rows import Owner
from tests.search import all_rows

pytestmark = pytest.mark.timeout(60)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
Make = Callable[..., Awaitable[None]]


@pytest.fixture
def make(threadmill: Threadmill, owner: Owner) -> Make:
    """An agent with a function of its own."""

    async def make(name: str, function: str, *options: str) -> None:
        config = json.dumps({"function": function})
        ended = await threadmill("agent", "create", name, "--runner", "python", "--config", config, *options)
        assert ended.code == 0, ended.err

    return make


async def test_a_configuration_comes_from_a_file_from_standard_input_or_as_it_stands(
    threadmill: Threadmill, owner: Owner, tmp_path: Path
) -> None:
    wanted = {"function": "mine:run", "since": "2026-01-01", "list": [1, None]}
    as_yaml = "function: mine:run\nsince: 2026-01-01\nlist: [1, null]\n"
    for name, text in (("a.yaml", as_yaml), ("b.json", json.dumps(wanted))):
        (tmp_path / name).write_text(text)
        made = await threadmill(*_create(name, str(tmp_path / name)), "--json")
        assert made.document["config"] == wanted
    assert (await threadmill(*_create("c", "-"), "--json", stdin="function: mine:run")).document["config"] == {
        "function": "mine:run"
    }
    assert (await threadmill(*_create("d", json.dumps(wanted)), "--json")).document["config"] == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("function: mine:run\n  other: [", "agent.yaml:2: "),
        ("function: a:b\nfunction: c:d", "agent.yaml:2: the key 'function' twice"),
        ("- function", "agent.yaml:1: must hold an object"),
        ("", "agent.yaml:1: must hold an object"),
        ("function: !!python/object:os.system x", "agent.yaml:1: could not determine a constructor"),
        ("function: a:b\n1: 2", "agent.yaml: keys must be text"),
        ("function: a:b\nx: .nan", "agent.yaml: JSON can't hold it"),
        ("function: a:b\nx: " + "[" * 64 + "]" * 64, "agent.yaml: must be nested at most 64 levels deep"),
        ("function: a:b\nx: &x [*x]", "agent.yaml: "),
        ("function: a:b\n---\nfunction: a:b", "agent.yaml:2: but found another document"),
        ("function: nowhere", "function: String should match pattern"),
        ("isolation: process", "function: Field required"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_nothing_is_stored(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "agent.yaml").write_text(text)
    ended = await threadmill(*_create("mine", str(tmp_path / "agent.yaml")))
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1
    assert await pool.fetchval("select count(*) from agents") == 0


@pytest.mark.parametrize("path", ["nowhere.yaml", "/", "nul\0"])
async def test_a_file_that_can_not_be_read_is_said_to(threadmill: Threadmill, owner: Owner, path: str) -> None:
    ended = await threadmill(*_create("mine", path))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "can't be read" in ended.err


async def test_an_unknown_runner_is_refused_with_those_there_are(threadmill: Threadmill, owner: Owner) -> None:
    ended = await threadmill("agent", "create", "mine", "--runner", "cobol")
    assert ended.code == 2
    assert "python" in ended.err


async def test_a_runner_that_is_not_installed_here_is_stored_with_a_warning(
    threadmill: Threadmill, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("worker.runners.openai", "openai"):
        monkeypatch.setitem(sys.modules, module, None)  # as if its extra were not installed
    made = await threadmill("agent", "create", "mine", "--runner", "openai", "--config", '{"model":"m"}', "--json")
    assert made.document["config"] == {"model": "m"}
    assert "stored unchecked" in made.err
    assert "threadmill[openai]" in made.err


async def test_an_agent_is_changed_in_what_was_given_only(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "mine:run", "--run-timeout", "30", "--on-expired", "expire", "--busy-policy", "steer")
    before = (await threadmill("agent", "show", "mine", "--json")).document
    assert (before["run_timeout"], before["on_expired"], before["busy_policy"]) == (30, "expire", "steer")
    after = (await threadmill("agent", "set", "mine", "--config", '{"function":"mine:other"}', "--json")).document
    assert {**after, "updated_at": ""} == {**before, "updated_at": "", "config": {"function": "mine:other"}}
    changed = await threadmill(
        *("agent", "set", "mine", "--run-timeout", "0", "--on-expired", "continue", "--busy-policy", "queue", "--json")
    )
    after = changed.document
    assert (after["run_timeout"], after["on_expired"], after["busy_policy"]) == (None, "continue", "queue")
    assert after["config"] == {"function": "mine:other"}


async def test_a_wrong_change_changes_nothing(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "mine:run")
    before = (await threadmill("agent", "show", "mine", "--json")).document
    for options, code in (
        (["--config", '{"function":""}', "--busy-policy", "steer"], 2),
        (["--run-timeout", "-1"], 2),
        (["--on-expired", "never"], 2),
        ([], 2),
    ):
        ended = await threadmill("agent", "set", "mine", *options)
        assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert (await threadmill("agent", "set", "nobody", "--run-timeout", "1")).code == 1
    assert (await threadmill("agent", "show", "mine", "--json")).document == before


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
    assert (await threadmill(*_create("weather", str(EXAMPLES / "weather.yaml")))).code == 0
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
    async with _terminal(environment, "agent", "test", "approve", "the question") as terminal:
        await terminal.until("Allow it? (y/n) ")
        terminal.type("perhaps\n")
        await terminal.until("y or n? ")
        terminal.type("n\n")
        await terminal.until("A note for the agent")
        terminal.type("not today\n")
        await terminal.until("I did not answer: rejected (not today).")
        assert await terminal.ended() == 0


async def test_ctrl_c_interrupts_the_run_also_while_it_asks(make: Make, environment: dict[str, str]) -> None:
    await make("approve", "worker.runners.demo:approve")
    await make("echo", "worker.runners.demo:echo")
    for agent, text, seen in (("echo", "/slow 60", "3 "), ("approve", "x", "Allow it? (y/n) ")):
        async with _terminal(environment, "agent", "test", agent, text) as terminal:
            await terminal.until(seen)
            terminal.interrupt()
            await terminal.until("interrupted")
            assert await terminal.ended() == 130


@pytest.mark.slow
async def test_a_runner_that_ignores_the_interrupt_does_not_hold_the_terminal(
    make: Make, environment: dict[str, str]
) -> None:
    await make("mine", "tests.e2e.stubborn:run")
    async with _terminal(environment, "agent", "test", "mine", "x") as terminal:
        await terminal.until("never")
        terminal.interrupt()
        await terminal.until("interrupted; the runner does not stop")
        assert await terminal.ended() == 130
    async with _terminal(environment, "agent", "test", "mine", "x", "--timeout", "0.1", "--json") as terminal:
        await terminal.until('"status": "expired"')
        await terminal.until("run.expired: ")
        assert await terminal.ended() == 1


def _create(name: str, config: str) -> list[str]:
    return ["agent", "create", name, "--runner", "python", "--config", config]


class Terminal:
    """A process at a pseudo-terminal, what it wrote so far, and a keyboard."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: int, screen: asyncio.StreamReader) -> None:
        self._process, self._keyboard, self._screen = process, keyboard, screen
        self._seen = ""

    async def until(self, text: str) -> None:
        """Waits until it has written the text, behind what was waited for before."""
        async with asyncio.timeout(20):
            while text not in self._seen:
                piece = await self._screen.read(4096)
                assert piece, self._seen
                self._seen += piece.decode()
        self._seen = self._seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self._process.wait()


@asynccontextmanager
async def _terminal(environment: dict[str, str], *arguments: str) -> AsyncIterator[Terminal]:
    """`threadmill` with a keyboard; what it writes comes through a pipe."""
    keyboard, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from deploy.cli import main; main()", *arguments),
        env={**os.environ, **environment},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(theirs)
    assert process.stdout is not None
    try:
        yield Terminal(process, keyboard, process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(keyboard)
