"""Redis as compose.yaml starts it: with its file, and with a password that no command line shows."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.deploy.places import DEPLOY, said

_WORD = "a1b2c3d4"
_TMP = "/tmp"  # noqa: S108 - the container's own
needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on PATH")


@contextmanager
def started(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """By the command of compose.yaml, its paths led into `directory`; on a socket, so that it takes nobody's port."""
    written = (DEPLOY / "redis" / "redis.conf").read_text(encoding="utf-8")
    written = written.replace(_TMP, str(directory)).replace("/data", str(directory))
    file = directory / "redis.conf"
    file.write_text(f"{written}\nport 0\nunixsocket {directory / 'socket'}\n", encoding="utf-8")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_bytes())["services"]
    command = services["redis"]["command"][-1].replace("$$", "$")
    command = command.replace(_TMP, str(directory)).replace("/etc/redis.conf", str(file))
    environment = os.environ | {"REDISCLI_AUTH": _WORD}
    with subprocess.Popen(["sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("ready to accept connections" in line.lower() for line in process.stdout)
            yield process
        finally:
            process.terminate()


@needs_redis
def test_redis_keeps_its_keys_and_tells_nobody_its_password(tmp_path: Path) -> None:
    with started(tmp_path) as process:

        def ask(*words: str, password: str | None = _WORD) -> list[str]:
            environment = os.environ | ({} if password is None else {"REDISCLI_AUTH": password})
            return said("redis-cli", "-s", tmp_path / "socket", *words, env=environment).split()

        assert ask("config", "get", "maxmemory-policy") == ["maxmemory-policy", "noeviction"]
        assert ask("config", "get", "appendonly") == ["appendonly", "yes"]
        assert ask("ping", password=None)[0] == "NOAUTH"
        listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"redis-server" in listed
        assert _WORD.encode() not in listed
        assert list(tmp_path.glob("appendonly*"))
