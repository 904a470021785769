"""What `docs/operations.md` tells an operator to type into psql and redis-cli works as written."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


STATEMENTS = [text.strip() for text in re.sub(r"--.*", "", blocks("sql")).split(";") if text.strip()]
JQ_COMMANDS = [shlex.split(line, comments=True)[1:-1] for line in blocks("sh").splitlines() if line.startswith("jq ")]
LINE = {"event": "a drain applied", "level": "error", "timestamp": "now", "batches": [815], "run": None}
REDIS_COMMANDS = [
    shlex.split(line, comments=True)[1:] for line in blocks("sh").splitlines() if line.startswith("redis-cli")
]


def test_there_is_something_to_try() -> None:
    assert len(STATEMENTS) >= 8
    assert len(REDIS_COMMANDS) >= 8


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
