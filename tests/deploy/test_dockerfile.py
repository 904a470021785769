"""The image's recipe: hadolint takes it, and it says what an image of ours must say."""

import re
import subprocess
import sys
from pathlib import Path

from shared import __version__
from tests.deploy import recipe
from tests.deploy.places import DEPLOY, said

_BUILD, _IMAGE = recipe.stages()
_HADOLINT = Path(sys.executable).with_name("hadolint")


def test_hadolint_takes_it() -> None:
    said(_HADOLINT, "--failure-threshold", "style", DEPLOY / "Dockerfile")


def test_hadolint_would_say_so(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install aiohttp\nCMD python -m api\n", encoding="utf-8")
    ended = subprocess.run([_HADOLINT, bad], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert {"DL3006", "DL3013", "DL3025"} <= set(re.findall(r"DL\d{4}", ended.stdout))


def test_it_runs_as_a_number_and_stops_with_sigterm() -> None:
    uid, gid = _IMAGE.last("USER").split(":")
    assert int(uid) >= 10_000  # a number: Kubernetes can't tell whether a name is root
    assert int(gid) >= 10_000
    assert _IMAGE.words("ENTRYPOINT") == ["/usr/bin/tini", "--"]
    assert _IMAGE.words("CMD") == ["python", "-m", "api"]
    assert _IMAGE.last("STOPSIGNAL") == "SIGTERM"
    assert _IMAGE.last("HEALTHCHECK").endswith('CMD ["python", "-I", "-m", "deploy.probe"]')


def test_everything_that_is_installed_has_its_hash_or_is_ours() -> None:
    steps = " && ".join(arguments for name, arguments in _BUILD.steps if name == "RUN")
    installs = re.findall(r"pip[^&]* (?:install|wheel) ([^&]+)", steps)
    assert len(installs) == 4
    for options in installs:
        assert "--require-hashes" in options or "--no-deps" in options
        assert "--no-cache-dir" in options
    assert "pip" not in " ".join(arguments for name, arguments in _IMAGE.steps if name == "RUN")
    for stage in (_BUILD, _IMAGE):
        assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+( AS build)?", stage.last("FROM"))


def test_the_label_says_this_version() -> None:
    assert ("ARG", f"VERSION={__version__}") in _IMAGE.steps
    assert (DEPLOY / "compose.yaml").read_text(encoding="utf-8").count(f":-threadmill:{__version__}}}") == 1


def test_the_builder_sees_what_the_image_needs_and_no_secret() -> None:
    tracked = recipe.tracked()
    copied = [arguments.split()[:-1] for name, arguments in _BUILD.steps if name == "COPY"]
    assert len(copied) > 4
    for source in (one for sources in copied for one in sources):
        files = [path for path in tracked if path == source or path.startswith(f"{source}/")]
        assert any(not recipe.ignored(path) for path in files), source
    seen = {path.split("/")[0] for path in tracked if not recipe.ignored(path)}
    assert seen == {"api", "worker", "shared", "deploy", "pyproject.toml", "README.md", "LICENSE"}
    for path in (
        "deploy/compose.env",
        ".git/config",
        ".data/dev.json",
        "api/__pycache__/app.cpython-311.pyc",
        ".venv/x",
    ):
        assert recipe.ignored(path), path
