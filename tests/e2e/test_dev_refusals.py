"""`threadmill dev` where it can't start: what is wrong is named in one line, and nothing is left."""

import socket

import pytest

from tests.e2e.dev_process import DevProcess, Start
from tests.e2e.users import User


def test_a_port_that_is_taken_is_named_in_one_line(me: User, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _refused(start(me, "--port", str(port), "--json"), f"port {port} is taken", "--port")


def test_a_directory_that_cannot_be_written_is_named_in_one_line(user: User, start: Start) -> None:
    closed = user.home / "closed"
    if user.writes_everywhere:  # only a file in the way stops root
        closed.write_text("")
    else:
        closed.mkdir(mode=0o500)
    _refused(start(user, "--json", data="closed/data"), "closed/data can't be written", "--data")


@pytest.mark.parametrize(
    ("variable", "url", "said"),
    [
        ("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x", "Postgres at 127.0.0.1:1 does not answer"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:1/0", "Redis at 127.0.0.1:1 does not answer"),
    ],
)
def test_a_server_that_does_not_answer_is_named_in_one_line(
    me: User, start: Start, variable: str, url: str, said: str
) -> None:
    dev = start(me, "--port", "0", "--json", env={variable: url})
    _refused(dev, said, "does not answer")
    assert "secret" not in dev.errors()


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("THREADMILL_LOG_LEVEL", "loud", "'info'"),
        ("DATABASE_URL", "nonsense", "postgresql://"),
        ("REDIS_URL", "nonsense", "redis://"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(
    me: User, start: Start, name: str, value: str, right: str
) -> None:
    _refused(start(me, "--json", env={name: value}), name, right)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "env"),
    [("postgres", {}), ("worker", {"THREADMILL_WORKER_HOST": "203.0.113.1"})],  # an address that is nobody's
)
def test_a_start_that_fails_half_way_says_why_and_leaves_nothing(
    me: User, start: Start, name: str, env: dict[str, str]
) -> None:
    if name == "postgres":
        (me.home / "data" / "postgres").mkdir(mode=0o700, parents=True)
        (me.home / "data" / "postgres" / "PG_VERSION").write_text("1\n")
    dev = start(me, "--port", "0", "--json", env=env)
    assert dev.process.wait(60) == 1
    assert dev.errors().splitlines()[-1].startswith(f"threadmill: {name} ")
    assert dev.rest() == b""
    dev.until_nothing_is_left(within=1)


def test_a_second_dev_on_the_same_data_is_refused_in_one_line(me: User, start: Start) -> None:
    start(me, "--port", "0", "--json").ready()
    _refused(start(me, "--port", "0", "--json"), "runs on", "--data")


@pytest.mark.parametrize("wrong", ["--port x", "--port 65536", "--workers 0", "--colour", "more"])
def test_a_wrong_option_is_named_in_one_line(me: User, start: Start, wrong: str) -> None:
    _refused(start(me, *wrong.split()), wrong.split(maxsplit=1)[0])


def _refused(dev: DevProcess, *words: str) -> None:
    """It ended by itself with 2, one line that holds `words`, nothing on standard output, and left nothing."""
    assert dev.process.wait(30) == 2, dev.errors()
    (line,) = dev.errors().splitlines()
    assert all(word in line for word in words), line
    assert dev.rest() == b""
    dev.until_nothing_is_left(within=1)
