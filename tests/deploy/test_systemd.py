"""The units: systemd takes them, calls them hardened, and waits longer than a drain takes."""

import re
import shutil
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.deploy.places import DEPLOY, said

_UNITS = DEPLOY / "systemd"
_SERVICES = ("threadmill-migrate.service", "threadmill-api.service", "threadmill-worker@1.service")
_MOST_EXPOSED = 15  # tenths, of 100: what is left is the network, which they need
pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with the units and the programs that they start, and with systemd's own targets."""
    units, theirs = tmp_path / "etc/systemd/system", tmp_path / "usr/lib/systemd/system"
    programs = tmp_path / "opt/threadmill/bin"
    for directory in (units, theirs, programs):
        directory.mkdir(parents=True)
    for unit in Path("/usr/lib/systemd/system").glob("*.[ts][al][ri][gc]e*"):
        if unit.suffix in {".target", ".slice"} and unit.is_file():
            shutil.copy(unit, theirs)
    for unit in _UNITS.glob("threadmill*.[st]*"):
        shutil.copy(unit, units)
    shutil.copy(_UNITS / "threadmill-worker@.service", units / "threadmill-worker@1.service")
    for program in ("python", "threadmill"):
        (programs / program).write_text("#!/bin/sh\n", encoding="utf-8")
        (programs / program).chmod(0o755)
    return tmp_path


def test_systemd_takes_them(root: Path) -> None:
    assert said("systemd-analyze", "verify", "--man=no", f"--root={root}", *_SERVICES, "threadmill.target") == ""


def test_systemd_would_say_so(root: Path) -> None:
    unit = root / "etc/systemd/system/threadmill-api.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace("Restart=always", "Restart=sometimes"), encoding="utf-8")
    with pytest.raises(AssertionError, match="sometimes"):
        assert said("systemd-analyze", "verify", "--man=no", f"--root={root}", unit.name) == ""


@pytest.mark.parametrize("service", _SERVICES)
def test_systemd_calls_them_hardened(root: Path, service: str) -> None:
    """It exits with 1 above the threshold."""
    threshold = f"--threshold={_MOST_EXPOSED}"
    shown = said("systemd-analyze", "security", "--offline=yes", "--no-pager", f"--root={root}", threshold, service)
    assert "Overall exposure level" in shown


def test_each_has_longer_than_a_drain_takes_and_the_same_user() -> None:
    texts = {unit.name: unit.read_text(encoding="utf-8") for unit in _UNITS.glob("*.service")}
    assert len(texts) == len(_SERVICES)
    for name, text in texts.items():
        assert "\nUser=threadmill\n" in text, name
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, flags=re.MULTILINE)
        assert name == "threadmill-migrate.service" or (
            stop and int(stop[1]) > Settings.model_fields["drain_timeout"].default
        )
