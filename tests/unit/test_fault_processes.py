"""The processes of a fault run: one that ended by itself is found, whoever lives is not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import children
from deploy.children import Command
from tests.faults import processes
from tests.faults.processes import Member, clock_by, with_clock
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


@pytest.mark.parametrize(
    ("name", "told", "argv"),
    [
        ("libfaketime.so.1", "libfaketime", ("python", "-m", "api")),
        ("none", "skewed.py", ("python", "-m", "tests.faults.skewed", "-3600", "api")),
    ],
)
def test_what_turns_a_clock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str, argv: tuple[str, ...]
) -> None:
    (tmp_path / "libfaketime.so.1").touch()
    monkeypatch.setattr(processes, "FAKETIME", tmp_path / name)
    turned = with_clock(Command("api", ("python", "-m", "api"), env={}), -3_600)
    assert (clock_by(), turned.argv) == (told, argv)
    assert (turned.env or {}).get("FAKETIME") == ("-3600s" if told == "libfaketime" else None)
