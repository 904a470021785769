"""Debian's Chromium: one process a session, without a window, listening on this machine alone."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it runs as root in CI, and opens nothing but our pages
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-address=127.0.0.1",
    "--remote-debugging-port=0",
)
_START = 30.0  # seconds at most
_END = 10.0


@contextmanager
def running_chromium(profile: Path) -> Iterator[str]:
    """Yields the address of its DevTools."""
    program = shutil.which("chromium")
    assert program is not None, "missing on this machine: chromium (apt-get install chromium)"
    with (profile / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
        try:
            yield _address(process, profile)
        finally:
            process.terminate()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        text = (profile / "log").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"DevTools listening on (ws://\S+)", text):
            return found[1]
        assert process.poll() is None, f"chromium ended:\n{text}"
        time.sleep(0.05)
    raise TimeoutError("chromium did not start")
