"""What a clone promises before anything runs: its lock, its targets, its wheel, its licence."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import shared

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def _locked() -> dict[str, str]:
    """Each pinned package with the lines of its hashes."""
    found = re.findall(
        r"^([a-z0-9-]+)==[^\s;]+(?: ;[^\\\n]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", LOCK, re.MULTILINE
    )
    return dict(found)


def test_the_lock_holds_everything_that_the_project_names() -> None:
    groups = (
        PROJECT["build-system"]["requires"],
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    )
    wanted = {_name(requirement) for group in groups for requirement in group}
    assert wanted - set(_locked()) == set()


def test_every_line_of_the_lock_is_a_pin_with_hashes() -> None:
    pins = re.findall(r"^[^#\s].*", LOCK, re.MULTILINE)
    assert len(pins) == len(_locked())
    assert all("==" in pin for pin in pins)


def test_the_lock_names_no_place_to_download_from() -> None:
    assert not re.search(r"https?:|file://|--index|--extra-index|--find-links|--trusted-host", LOCK)


def test_types_are_checked_in_every_package() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(PROJECT["tool"]["mypy"]["packages"])


def test_what_tests_share_is_in_modules_without_tests() -> None:
    """A test that takes something from another test's module breaks when that one is parted or moved."""
    taken = re.compile(r"^\s*(?:from|import) tests(?:\.\w+)*(?:\.test_| import (?:.*\W)?test_)", re.MULTILINE)
    modules = [path for part in ("tests", "bench") for path in (ROOT / part).rglob("*.py")]
    assert len(modules) > 300
    assert [path for path in modules if taken.search(path.read_text(encoding="utf-8"))] == []


def test_make_without_a_target_lists_the_targets() -> None:
    shown = subprocess.run(["make", "-C", ROOT, "--no-print-directory"], capture_output=True, check=True, text=True)
    listed = re.findall(r"^  make (\S+)", shown.stdout, re.MULTILINE)
    assert {"install", "dev", "test", "check", "bench", "help"} <= set(listed)


def test_a_missing_python_is_named_in_one_line() -> None:
    found = subprocess.run(
        [ROOT / ".ci" / "find-python", "python-of-nobody"], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert "Python 3.11" in line
    assert "venv" in line


def test_the_wheel_holds_statements_migrations_scripts_templates_and_static_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("threadmill-*.whl")
    assert wheel.name.startswith(f"threadmill-{shared.__version__}-")
    held = set(zipfile.ZipFile(wheel).namelist())
    data = [path for suffix in ("sql", "lua") for path in (ROOT / "shared").rglob(f"*.{suffix}")]
    data += [path for suffix in ("css", "html", "js", "svg") for path in (ROOT / "api").rglob(f"*.{suffix}")]
    data += (ROOT / "api").rglob("LICENSE*")
    assert {path.suffix for path in data} == {".sql", ".lua", ".css", ".html", ".js", ".svg", ""}
    assert {str(path.relative_to(ROOT)) for path in data} <= held
    assert not any(name.startswith(("tests/", "bench/")) for name in held)


def test_the_licence_is_the_one_that_the_project_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
