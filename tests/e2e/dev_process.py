"""A `threadmill dev` as a process: started, read, signalled, and looked after so that nothing outlives a test."""

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-P", "-c", "from deploy.cli import main; main()", "dev")
START_SECONDS = 60.0
_SERVERS = ("DATABASE_URL", "REDIS_URL")


class DevProcess:
    """Runs in `home` on its directory `data`; `mark` is in the environment of all that it starts."""

    def __init__(
        self,
        home: Path,
        data: str,
        *options: str,
        become: Callable[[], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data = home / data
        self.mark = secrets.token_hex(8)
        self._before = set(psutil.pids())
        self._theirs = {pid for pid in self._before if _stands_in(self.data, pid)}
        self._errors = home / f"{self.mark}.stderr"
        inherited = {name: value for name, value in os.environ.items() if name not in _SERVERS}
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "--data", str(self.data), *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,  # `select` sees what was not read yet
                cwd=home,
                preexec_fn=become,  # noqa: PLW1509 - there is no other place to become somebody else
                env={**inherited, "PYTHONPATH": str(ROOT), "MARK": self.mark, **(env or {})},
            )

    def ready(self) -> dict[str, Any]:
        """The JSON line. Fails with what it said where it ended instead."""
        line = self.read_line()
        assert line, f"no line on standard output; standard error:\n{self.errors()}"
        document: dict[str, Any] = json.loads(line)
        return document

    def read_line(self) -> bytes:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], START_SECONDS)[0], self.errors()
        return self.process.stdout.readline()

    def read_until(self, end: str) -> str:
        """Standard output up to the line that ends so."""
        page = ""
        while not page.endswith(f"{end}\n"):
            line = self.read_line()
            assert line, f"{end!r} does not come: {page}"
            page += line.decode()
        return page

    def stop(self, how: signal.Signals = signal.SIGTERM, within: float = 10.0) -> int:
        """Signals it and returns its exit code."""
        self.process.send_signal(how)
        return self.process.wait(within)

    def rest(self) -> bytes:
        """What standard output held besides the lines read before, after it ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    def until_said(self, words: str, within: float = 30.0) -> None:
        """Waits until standard error holds `words`."""
        wait_until(lambda: words in self.errors(), within, f"{words!r} on standard error")

    def left(self) -> list[psutil.Process]:
        """What it started and still runs. Known by its environment or by standing in the data directory."""
        return [
            process for process in psutil.process_iter() if process.pid not in self._before and self._is_ours(process)
        ]

    def until_nothing_is_left(self, within: float) -> None:
        wait_until(lambda: not self.left(), within, "the end of all children")

    def clean_up(self) -> None:
        """Kills what a failed test left."""
        for process in self.left():
            with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                process.kill()
        self.process.wait(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.environ().get("MARK") == self.mark:
                return True
            # What a server of an earlier `dev` on the same data forks meanwhile is that one's.
            return Path(process.cwd()).is_relative_to(self.data) and process.ppid() not in self._theirs
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False


Start = Callable[..., DevProcess]  # as a user, with options


def _stands_in(data: Path, pid: int) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()).is_relative_to(data)
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False


def wait_until(true: Callable[[], bool], within: float, what: str) -> None:
    """Looks until it is so. Fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"no sign of {what} in {within} s"
        time.sleep(0.02)  # between two looks at other processes, which give no signal of their own
