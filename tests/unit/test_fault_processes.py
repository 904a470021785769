"""The processes of a fault run: one that ended by itself is found, whoever lives is not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import children
from deploy.children import Command
from tests.faults.processes import Member, with_clock
from tests.faults.run import ended
from tests.faults.violations import Kind


def a_member(place: Path, name: str, program: str) -> Member:
    command = Command(name, (sys.executable, "-c", program), log=place / f"{name}.log")
    return Member(name, "http://127.0.0.1:1", command, children.spawn(command))


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Member]:
    member = a_member(tmp_path, "worker-1", "import time; time.sleep(60)")
    yield member
    member.process.kill()
    member.process.wait()


def test_a_process_that_ended_by_itself_is_found_with_its_last_words(tmp_path: Path, living: Member) -> None:
    gone = a_member(tmp_path, "worker-0", "raise SystemExit('all is lost')")
    gone.process.wait()
    (found,) = ended([gone, living])
    assert found.kind is Kind.ENDED
    assert "worker-0, with code 1" in found.what
    assert "all is lost" in found.what


def test_a_clock_that_is_right_changes_no_command() -> None:
    command = Command("api", (sys.executable, "-m", "api"), env={"A": "1"})
    assert with_clock(command, 0) is command
    assert with_clock(command, 3_600) != command
