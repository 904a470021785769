"""The image's recipe: hadolint takes it, and it says what an image of ours must say."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from shared import __version__
from tests.deploy.places import DEPLOY, ROOT, said

_FILE = DEPLOY / "Dockerfile"
_TEXT = _FILE.read_text(encoding="utf-8")
_HADOLINT = Path(sys.executable).with_name("hadolint")


def last(instruction: str) -> str:
    """The arguments of the last instruction of a kind, in one line."""
    joined = re.sub(r"\\\n\s*", " ", _TEXT)
    return re.findall(rf"^{instruction} (.+)$", joined, flags=re.MULTILINE)[-1].strip()


def test_hadolint_takes_it() -> None:
    said(_HADOLINT, "--failure-threshold", "style", _FILE)


def test_hadolint_would_say_so(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install aiohttp\nCMD python -m api\n", encoding="utf-8")
    ended = subprocess.run([_HADOLINT, bad], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert {"DL3006", "DL3013", "DL3025"} <= set(re.findall(r"DL\d{4}", ended.stdout))


def test_it_runs_as_a_number_and_stops_with_sigterm() -> None:
    uid, gid = last("USER").split(":")
    assert int(uid) >= 10_000  # a number: Kubernetes can't tell whether a name is root
    assert int(gid) >= 10_000
    assert last("ENTRYPOINT") == '["/usr/bin/tini", "--"]'
    assert last("CMD") == '["python", "-m", "api"]'
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("HEALTHCHECK").endswith('CMD ["python", "-I", "-m", "deploy.probe"]')


def test_everything_that_is_installed_has_its_hash_or_is_ours() -> None:
    joined = re.sub(r"\\\n\s*", " ", _TEXT)
    installs = re.findall(r"pip[^&\n]* (?:install|wheel) ([^&\n]+)", joined)
    assert len(installs) == 4
    for options in installs:
        assert "--require-hashes" in options or "--no-deps" in options
        assert "--no-cache-dir" in options
    assert all(
        re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+( AS build)?", base)
        for base in re.findall("^FROM (.+)$", _TEXT, re.MULTILINE)
    )


def test_the_label_says_this_version() -> None:
    assert f"ARG VERSION={__version__}\n" in _TEXT
    assert (DEPLOY / "compose.yaml").read_text(encoding="utf-8").count(f":-threadmill:{__version__}}}") == 1


def ignored(path: str) -> bool:
    """As BuildKit judges a path or one of its parents, for the patterns that we use: the last that matches decides."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    verdict = False
    parts = path.split("/")
    parents = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        tried = parents if not line.startswith("**/") else [*parents, *parts]
        if any(fnmatch(one, pattern) and one.count("/") == pattern.count("/") for one in tried):
            verdict = not line.startswith("!")
    return verdict


def test_the_builder_sees_what_the_image_needs_and_no_secret() -> None:
    tracked = said("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _TEXT, flags=re.MULTILINE)
    for source in (one for line in copied for one in line.split()):
        files = [path for path in tracked if path == source or path.startswith(f"{source}/")]
        assert any(not ignored(path) for path in files), source
    seen = {path.split("/")[0] for path in tracked if not ignored(path)}
    assert seen == {"api", "worker", "shared", "deploy", "pyproject.toml", "README.md", "LICENSE"}
    for path in (
        "deploy/compose.env",
        ".git/config",
        ".data/dev.json",
        "api/__pycache__/app.cpython-311.pyc",
        ".venv/x",
    ):
        assert ignored(path), path
