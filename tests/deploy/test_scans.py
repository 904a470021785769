"""The scans themselves: what was once committed is found, what is listed is not, and the bill of materials is whole."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.places import ROOT, packages, said

_SCAN = ROOT / ".ci" / "scan"
_KEY = "".join(("AKIA", "Q3EGXJ7Y", "TNW2ZP5L"))  # the form of a key, and not in one piece: the scan reads this, too
_LISTED = ROOT / ".ci" / "secrets.yaml"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A key that came with the first of three commits and went with the second."""
    for name, text in (("one.py", f'KEY = "{_KEY}"\n'), ("one.py", "KEY = None\n"), ("two.py", "x = 1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        _git(tmp_path, "init", "--quiet")
        _git(tmp_path, "add", ".")
        _git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", name)
    return tmp_path


def _git(directory: Path, *words: str) -> None:
    said("git", "-C", directory, *words, env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull})


def scan(directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(_SCAN), *options]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100, check=False)


def test_a_secret_is_found_in_a_version_that_is_gone(history: Path) -> None:
    ended = scan(history)
    assert ended.returncode == 1
    assert "one.py:1" in ended.stderr
    assert _KEY not in ended.stderr + ended.stdout
    assert scan(history, "--last", "1").returncode == 0


def test_what_is_listed_is_let_pass_and_a_line_for_nothing_is_not(history: Path) -> None:
    (found,) = set(re.findall(r"hash ([0-9a-f]{40})", scan(history).stderr))
    (history / ".ci").mkdir()
    listed = history / ".ci" / "secrets.yaml"
    listed.write_text(yaml.safe_dump([{"reason": "a test", "hashes": [found]}]), encoding="utf-8")
    assert scan(history).returncode == 0
    listed.write_text(yaml.safe_dump([{"reason": "a test", "hashes": [found, "0" * 40]}]), encoding="utf-8")
    ended = scan(history)
    assert ended.returncode == 1
    assert f"nothing has the hash {'0' * 40}" in ended.stderr


def test_each_value_that_is_let_pass_has_its_reason_once() -> None:
    groups = yaml.safe_load(_LISTED.read_text(encoding="utf-8"))
    hashes = [digest for group in groups for digest in group["hashes"]]
    assert all(len(group["reason"].split()) > 3 for group in groups)
    assert len(hashes) == len(set(hashes))


def test_the_page_has_each_pattern_that_is_allowed() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(S\d+)` \| `([\w/.]+)` \|", page, flags=re.MULTILINE))
    allowed = set()
    for package in ("api", "worker", "shared", "deploy"):
        for file in (ROOT / package).rglob("*.py"):
            rules = re.findall(r"noqa: (S\d+)", file.read_text(encoding="utf-8"))
            allowed |= {(rule, str(file.relative_to(ROOT))) for rule in rules}
    assert allowed == rows


@pytest.mark.slow  # an environment is made
@pytest.mark.long
def test_the_bill_of_materials_has_what_the_image_installs() -> None:
    said(sys.executable, ROOT / ".ci" / "sbom", env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=110)
    text = (ROOT / "dist" / "threadmill.cdx.json").read_text(encoding="utf-8")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = {re.sub(r"[-_.]+", "-", one["name"]).lower() for one in bill["components"]}
    assert names == packages(ROOT / "deploy" / "runtime.lock").keys()
    (root,) = [one for one in bill["dependencies"] if one["ref"] == bill["metadata"]["component"]["bom-ref"]]
    assert len(root["dependsOn"]) > 15
    assert "file://" not in text  # nothing of the machine that made it
