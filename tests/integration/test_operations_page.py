"""What `docs/operations.md` tells an operator to type into psql and redis-cli works as written; what it says of
`threadmill` is understood by it.
"""

import json
import re
import shlex
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.commands import commands

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


STATEMENTS = [text.strip() for text in re.sub(r"--.*", "", blocks("sql")).split(";") if text.strip()]
JQ_COMMANDS = [shlex.split(line, comments=True)[1:-1] for line in blocks("sh").splitlines() if line.startswith("jq ")]
LINE = {"event": "a drain applied", "level": "error", "timestamp": "now", "batches": [815], "run": None}
REDIS_COMMANDS = [
    shlex.split(line, comments=True)[1:] for line in blocks("sh").splitlines() if line.startswith("redis-cli")
]
TYPED = re.findall(r"^(?:\$ )?threadmill (.*)$", blocks("(?:sh|console)"), re.MULTILINE)
NAMED = sorted(
    set(re.findall(r"`threadmill\s([^`…]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)))
)


def test_there_is_something_to_try() -> None:
    assert len(STATEMENTS) >= 8
    assert len(REDIS_COMMANDS) >= 8
    assert (len(TYPED) >= 30, len(NAMED) >= 30) == (True, True)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words name, and the words behind its name."""
    found, words = commands()[words[0]], words[1:]
    while hasattr(found, "commands"):
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("line", TYPED)
def test_a_command_line_of_the_page_is_understood(line: str) -> None:
    command, words = command_of(shlex.split(line, comments=True))
    assert command.make_context(command.name, words).params


@pytest.mark.parametrize("line", NAMED)
def test_a_command_that_the_page_speaks_of_has_these_options(line: str) -> None:
    for words in product(*(word.split("|") for word in re.sub(r"<.*?>", "", line).split())):
        command, rest = command_of(list(words))
        options = {option for param in command.params for option in param.opts}
        assert {word for word in rest if word.startswith("-")} <= options


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_statement_of_the_page_runs(pool: asyncpg.Pool, statement: str) -> None:
    await pool.execute(statement)


@pytest.mark.parametrize("command", REDIS_COMMANDS, ids=" ".join)
async def test_a_redis_command_of_the_page_runs(redis: Redis, command: list[str]) -> None:
    if command[:2] == ["--scan", "--pattern"]:
        command = ["scan", "0", "match", command[2]]
    await redis.execute_command(*command)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is no part of the service")
def test_what_the_page_asks_of_jq_is_understood() -> None:
    assert len(JQ_COMMANDS) >= 4
    for command in JQ_COMMANDS:
        ended = subprocess.run(["jq", *command], input=json.dumps(LINE), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert ("a drain applied" in ended.stdout) is ("815" in command[1] or "level" in command[1])
