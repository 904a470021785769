"""The wheel, built from the tree: it has every file that the program reads, and none that only an operator does."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.places import ROOT, said

_PACKAGES = ("api", "worker", "shared", "deploy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", directory, ROOT)
    said(sys.executable, *build, env=os.environ | {"PIP_NO_INDEX": "1"})
    (built,) = directory.glob("threadmill-*.whl")
    return built


def test_it_has_every_file_of_the_packages_and_nothing_for_operators(wheel: Path) -> None:
    tracked = said("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", *_PACKAGES).splitlines()
    wanted = {path for path in tracked if not path.startswith("deploy/") or path.endswith(".py")}
    assert {Path(path).suffix for path in wanted} >= {".py", ".sql", ".lua", ".html", ".css", ".js"}
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
        entries = next(name for name in opened.namelist() if name.endswith("entry_points.txt"))
        assert "threadmill = deploy.cli:main" in opened.read(entries).decode()
    assert held == wanted
