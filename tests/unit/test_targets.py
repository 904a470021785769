"""Targets of the Makefile that look in one directory find all tests of their marker there."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("marker", "place"), [("alone", "tests/integration/isolation"), ("browser", "tests/console")])
def test_tests_of_a_marker_lie_where_their_target_looks(marker: str, place: str) -> None:
    assert f"-m {marker} {place}" in (ROOT / "Makefile").read_text(encoding="utf-8")
    marked = [path for path in (ROOT / "tests").rglob("*.py") if f"mark.{marker}" in path.read_text(encoding="utf-8")]
    assert marked
    assert {path.relative_to(ROOT).as_posix().startswith(place + "/") for path in marked} == {True}
