"""The image's lock files are parts of the one that everything is tested with."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.deploy.places import DEPLOY, ROOT, packages

_WHOLE = ROOT / "requirements.lock"
_RUNTIME, _BUILD = DEPLOY / "runtime.lock", DEPLOY / "build.lock"


def names(*lines: str) -> set[str]:
    return {re.split(r"[\[<>=;\s]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}


@pytest.mark.parametrize("lock", [_RUNTIME, _BUILD], ids=lambda path: path.name)
def test_what_is_deployed_is_what_was_tested(lock: Path) -> None:
    whole, part = packages(_WHOLE), packages(lock)
    assert len(part) > 5
    assert all(block == whole[name] for name, block in part.items())
    assert all("--hash=sha256:" in block for block in part.values())


def test_the_image_has_all_that_is_imported_and_nothing_of_the_workshop() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"]
    wanted = names(*project["project"]["dependencies"], *(n for e in optional if e != "embedded" for n in optional[e]))
    assert wanted <= packages(_RUNTIME).keys()
    workshop = names(*optional["embedded"], *project["dependency-groups"]["dev"], "hatchling", "pip", "setuptools")
    assert not workshop & packages(_RUNTIME).keys()
