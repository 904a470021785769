"""What a container engine does, as far as our image asks for it: namespaces, a read-only root, a user without rights.

The network is that of whoever starts it. Needs root, and an image that `tests.deploy.image` made.
"""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.deploy import recipe

_RIGHTS = ("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--clear-groups", "--no-new-privs")
# PR_SET_MDWE of prctl(2): what MemoryDenyWriteExecute= of a systemd unit forbids is forbidden here, too.
_NO_CODE_AT_RUN_TIME = (
    "import ctypes, os, sys; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0; os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True, slots=True)
class Engine:
    """Runs the image that lies in `root`. `files` is the volume, `runners` a directory of somebody's own functions."""

    root: Path
    files: Path
    runners: Path
    environment: dict[str, str]

    def start(self, *command: str, init: bool = True, stdout: int | None = None) -> "Container":
        """A container of its own; without a command the image's. Without `init` the command is its first process."""
        stage = recipe.stages()[-1]
        told: dict[str, str] = {}
        for instruction, arguments in stage.steps:
            told |= recipe.pairs(arguments) if instruction == "ENV" else {}
        told["PATH"] = told["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        words = [*(stage.words("ENTRYPOINT") if init else ()), *(command or stage.words("CMD"))]
        uid, gid = stage.last("USER").split(":")
        inside = (
            *("setpriv", f"--reuid={uid}", f"--regid={gid}", *_RIGHTS),
            *("env", "--ignore-environment", f"--chdir={stage.last('WORKDIR')}"),
            *(f"{name}={value}" for name, value in (told | self.environment).items()),
            *("/usr/bin/python3", "-c", _NO_CODE_AT_RUN_TIME, *words),
        )
        mounts = (
            f"mount --bind {self.files} {self.root}{stage.last('VOLUME')}",
            f"mount --bind {self.runners} {self.root}/srv",
            f"mount -t proc proc {self.root}/proc",
            f"mount -t tmpfs tmpfs {self.root}/tmp",  # noqa: S108 - the container's own
            f"mount -o remount,bind,ro {self.root}",
            f'exec chroot {self.root} "$@"',
        )
        namespaces = ("unshare", "--mount", "--pid", "--fork")
        process = subprocess.Popen((*namespaces, "sh", "-ec", "; ".join(mounts), "sh", *inside), stdout=stdout)
        return Container(process)

    def run(self, *command: str) -> str:
        """What a command of the image prints. Raises CalledProcessError where it fails."""
        container = self.start(*command, stdout=subprocess.PIPE)
        shown, _ = container.engine.communicate(timeout=60)
        if container.engine.returncode:
            raise subprocess.CalledProcessError(container.engine.returncode, command, shown)
        return shown.decode()


@dataclass(frozen=True, slots=True)
class Container:
    engine: "subprocess.Popen[bytes]"

    @property
    def first(self) -> int:
        """Process 1 of the container, by its number outside."""
        return _children(self.engine.pid)[0]

    @property
    def service(self) -> int:
        """The process that works: process 1, or what tini started."""
        return (_children(self.first) or [self.first])[0] if _name(self.first) == "tini" else self.first

    def zombies(self) -> int:
        """How many dead processes wait in vain for process 1 to take their end."""
        return sum(_field(child, "State").startswith("Z") for child in _children(self.first))

    def memory(self) -> float:
        """Resident, MiB, of the process that works."""
        return int(_field(self.service, "VmRSS").split()[0]) / 1024

    def kill(self) -> None:
        """Its processes end with its first one."""
        os.kill(self.first, signal.SIGKILL)
        self.engine.wait(5)

    def stop(self, within: float) -> int:
        """SIGTERM to process 1, as an engine does it; its exit code. Raises TimeoutExpired after `within` seconds."""
        os.kill(self.first, signal.SIGTERM)
        return self.engine.wait(within)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


def _field(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:")), "")
