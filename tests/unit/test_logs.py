"""What stands in a log: one JSON object a line, or a line for a person, with the ids of what it is about, and nothing
that is a secret.
"""

import io
import json
import logging
import os
import pty
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog

from shared import logs
from shared.errors import NotFound
from shared.masks import masked, masked_value
from shared.settings import Settings
from shared.tracebacks import Elsewhere, frames, kind

TEXT = "what the user said"


class Lines(io.StringIO):
    @property
    def read_all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Standard error of a process whose logs are set up, with the handlers and hooks of this one kept."""
    lines, root = Lines(), logging.getLogger()
    monkeypatch.setattr(sys, "stderr", lines)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    level = root.level
    logs.configure(Settings(log_format="json"))
    logs.take_over()
    logs.begin()
    yield lines
    logging.captureWarnings(capture=False)
    root.setLevel(level)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_every_line_of_every_logger_is_one_json_object(lines: Lines) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__module__ == logs.__name__]
    structlog.get_logger().info("ours", n=1)
    logging.getLogger("aiohttp.server").error("Error handling %s\nin two lines", "a request")
    logging.getLogger("arq.worker").warning("not with these arguments: %d", "x")
    logging.getLogger("anything").log(35, "between two levels")
    found = [(line["event"], line["level"], line.get("logger")) for line in lines.read_all]
    assert found == [
        ("ours", "info", None),
        ("Error handling a request\nin two lines", "error", "aiohttp.server"),
        ("not with these arguments: %d", "warning", "arq.worker"),
        ("between two levels", "warning", "anything"),
    ]


@pytest.mark.parametrize(
    ("format_", "terminal", "people"),
    [("auto", True, True), ("auto", False, False), ("text", False, True), ("json", True, False)],
)
@pytest.mark.usefixtures("lines")
def test_a_terminal_gets_lines_for_a_person_unless_a_setting_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, format_: str, terminal: bool, people: bool
) -> None:
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with os.fdopen(theirs, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure(Settings.model_validate({"log_format": format_}))
        structlog.get_logger().warning("a drain is slow", batches=3, token=SECRET)
        stderr.flush()
        said = os.read(ours, 4_096).decode()
    os.close(ours)
    assert (said.count("\n"), SECRET in said) == (1, False)
    if people:
        assert re.search(r" \[warning *\] a drain is slow +batches=3 ", re.sub(r"\x1b\[[0-9;]*m", "", said))
    else:
        line = json.loads(said)
        assert (line["level"], line["event"], line["batches"]) == ("warning", "a drain is slow", 3)


def test_last_words_of_a_process_and_of_a_thread_are_lines_too(lines: Lines) -> None:
    error = raised(ValueError(TEXT))
    sys.excepthook(type(error), error, error.__traceback__)

    def fail() -> None:
        raise ValueError(TEXT)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert [line["event"] for line in lines.read_all] == ["nobody caught this"] * 2
    assert TEXT not in lines.getvalue()


def test_asyncios_lines_do_not_print_its_objects(lines: Lines) -> None:
    told = f"Task exception was never retrieved\nfuture: <Task finished name='run 1' exception=ValueError('{TEXT}')>"
    logging.getLogger("asyncio").error(told, exc_info=raised(ValueError(TEXT)))
    (line,) = lines.read_all
    assert (line["event"], line["task"]) == ("Task exception was never retrieved", "run 1")
    assert TEXT not in lines.getvalue()


def test_lines_carry_the_ids_of_what_was_begun_last(lines: Lines) -> None:
    log = structlog.get_logger()
    logs.begin(request_id="r1")
    logs.about(thread="t1")
    log.info("first")
    logs.begin(request_id="r2")
    log.info("second", thread="its own")
    kept = [{name: line.get(name) for name in ("request_id", "thread")} for line in lines.read_all]
    assert kept == [{"request_id": "r1", "thread": "t1"}, {"request_id": "r2", "thread": "its own"}]


def test_an_error_says_where_and_of_what_kind_it_is_and_nothing_of_a_user(lines: Lines) -> None:
    outer = raised(RuntimeError(TEXT))
    outer.__cause__ = raised(KeyError(TEXT))
    structlog.get_logger().error("failed", exc_info=outer, error=raised(ValueError(TEXT)))
    (line,) = lines.read_all
    assert line["error"] == "ValueError"
    assert "KeyError\nwhich led to:\n" in line["exception"]
    assert line["exception"].endswith("RuntimeError")
    assert "in raised" in line["exception"]
    assert TEXT not in lines.getvalue()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), "DeadlockDetectedError: deadlock detected"),
        (asyncpg.InvalidTextRepresentationError(TEXT), "InvalidTextRepresentationError 22P02"),
        (UnicodeDecodeError("utf-8", TEXT.encode(), 0, 1, TEXT), "UnicodeDecodeError"),
        (NotFound(TEXT), "NotFound not_found"),
        (ValueError(TEXT), "ValueError"),
    ],
)
def test_only_errors_of_servers_and_the_network_speak(error: Exception, shown: str) -> None:
    assert kind(error) == shown
    assert TEXT in kind(error, verbose=True) or "refused" in shown or "deadlock" in shown


def test_an_error_of_another_process_shows_its_places() -> None:
    error = Elsewhere(f"the whole of it, with {TEXT}", "where it was\nKeyError")
    assert frames(error).endswith("Elsewhere: where it was\nKeyError")
    assert TEXT in frames(error, verbose=True)


def test_groups_and_circles_of_errors_are_shown_to_their_end() -> None:
    one, other = raised(ValueError(TEXT)), raised(KeyError(TEXT))
    one.__cause__, other.__cause__ = other, one
    shown = frames(ExceptionGroup(TEXT, [one]))
    assert "ExceptionGroup" in shown
    assert shown.endswith("ValueError")
    assert TEXT not in shown


SECRET = "mst_" + "Ab12cdEf" * 5 + "xyz"  # the same in each process: names of tests are made of it


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {SECRET}.", f"token {SECRET[:10]}***"),
        ("grt_pat_abcdefghijklmnopqrstuvwxyz", "grt_pat_abcdef***"),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_C2FVsB***"),
        (f"Bearer {'x' * 30}, more", "Bearer ***, more"),
        ("Authorization: Bearer abcdefgh", "Authorization: ***"),
        ("{'Cookie': 'session=abcdef; more'}", "{'Cookie': '***; more'}"),
        ('Snowflake Token="0123456789"', 'Snowflake Token="***"'),
        ("postgresql://user:pass-word@host:5432/name", "postgresql://user:***@host:5432/name"),
        ("postgresql://host/name?user=me&password=hidden&x=1", "postgresql://host/name?user=me&password=***&x=1"),
        ("postgresql://u:p@h/db?sslpassword=S3,c'r3t&x=1", "postgresql://u:***@h/db?sslpassword=***&x=1"),
        ("postgresql://u@h/db?x=1&p%61ssword=S3cr3t", "postgresql://u@h/db?x=1&p%61ssword=***"),
        ("redis+sentinel://h/m?sentinel%5Fpassw%6Frd=S3cr3t", "redis+sentinel://h/m?sentinel%5Fpassw%6Frd=***"),
        ("redis://S3cr3t@h:1/0, rediss+sentinel://S3cr3t@h,i/m", "redis://***@h:1/0, rediss+sentinel://***@h,i/m"),
        ("sslpassword: S3cr3t", "sslpassword: ***"),
        (
            "ResponseError(\"unknown command 'AUTH', with args beginning with: 'S3cr3t' \")",
            "ResponseError(\"unknown command 'AUTH', with args beginning with: ***",
        ),
        ("https://h/files?name=a&filter%5Bx%5D=b", "https://h/files?name=a&filter%5Bx%5D=b"),
        ("night shift (mst_Ab12cd)", "night shift (mst_Ab12cd)"),
        ("the token is missing, a bearer of bad news", "the token is missing, a bearer of bad news"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("piece", ["?", "&", "?a=", "a", "://", "https://a", ":", "@", "http://a@", "with args "])
def test_what_is_masked_costs_time_in_proportion_to_the_text(piece: str) -> None:
    """A user's text may be in a line: none of 200,000 characters is to hold the process up."""
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    masked(text)
    assert time.process_time() - began < 2.0


def test_secrets_are_masked_wherever_they_stand_in_a_line(lines: Lines) -> None:
    structlog.get_logger().info(SECRET, at=SECRET, within=[{"a": (SECRET,)}, SECRET.encode(), Exception(SECRET)])
    assert SECRET not in lines.getvalue()
    assert lines.getvalue().count(SECRET[:10]) == 5
    assert masked_value({"n": 1, "none": None}) == {"n": 1, "none": None}
