"""The image, made by the Dockerfile's own steps and run as a container is: a read-only root, a user without rights.

There is no Docker in it (tests/deploy/image.py says what stands for the base image); so it needs root, and Debian.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared import __version__
from shared.db.migrate import migrations
from tests.deploy.places import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="it mounts, so it needs root"),
    pytest.mark.skipif(not Path("/usr/bin/python3.11").exists(), reason="it needs Debian's Python 3.11"),
    pytest.mark.skipif(shutil.which("tini") is None, reason="no tini: Debian's package of that name has it"),
]

_OURS = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")  # nothing of it outlives us


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `tests.deploy.tour` saw."""
    directory = tmp_path_factory.mktemp("image")
    command = (*_OURS, sys.executable, "-m", "tests.deploy.image", str(directory))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            shown, wrong = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == 0, wrong[-5_000:]
    found: dict[str, Any] = json.loads(shown.splitlines()[-1])
    return found


def test_the_command_line_is_of_this_version_and_migrates_once(seen: dict[str, Any]) -> None:
    assert seen["version"] == __version__
    assert seen["migrated"] == [len(migrations()), 0]


def test_it_is_nobody_without_a_home_and_writes_where_it_may(seen: dict[str, Any]) -> None:
    *written, uid, capabilities, privileges, home = seen["tried"]
    assert written == ["/tmp", "/var/lib/threadmill/files"]  # noqa: S108 - the container's own
    assert uid == "10001"
    assert capabilities.split() == ["CapEff:", "0" * 16]
    assert privileges.split() == ["NoNewPrivs:", "1"]
    assert home == "home="


def test_all_that_the_service_reads_is_in_it(seen: dict[str, Any]) -> None:
    assert set(seen["pages"].values()) == {200}
    static = {path: status for path, status in seen["static"].items() if path.startswith("/console/static/")}
    assert len(static) > 3
    assert set(static.values()) == {200}


def test_batches_are_applied_runs_executed_and_files_kept(seen: dict[str, Any]) -> None:
    assert seen["runs"] == ["completed"]
    assert seen["left behind"] == "completed"
    assert seen["file"] == "ship it"
    assert seen["volume"] == [10001]


def test_the_health_check_tells_a_service_from_none(seen: dict[str, Any]) -> None:
    assert seen["probed"] == 0
    assert seen["probed without"] == 1


def test_an_init_takes_what_runners_leave_behind(seen: dict[str, Any]) -> None:
    assert seen["zombies"] == 0
    assert seen["zombies without tini"] > 0


def test_it_ends_in_order_within_the_time_that_it_is_given(seen: dict[str, Any]) -> None:
    """compose.yaml gives 30 s, Kubernetes and systemd 35 s. An api answers what was sent by half."""
    code, seconds = seen["worker stopped"]
    assert code == 0
    assert seconds < 25
    assert seen["handed over"] == "completed"
    code, seconds = seen["api stopped"]
    assert code == 0
    assert seconds < 25
    assert seen["half answered"][0] == "201", seen["half answered"]
    assert seen["api refuses after"] < 1


def test_it_needs_no_more_than_the_manifests_ask_for(seen: dict[str, Any]) -> None:
    assert seen["memory"]["api"] < 192
    assert seen["memory"]["worker"] < 192
    assert seen["connections"] < 40  # compose.yaml gives 200 to an api and three workers
