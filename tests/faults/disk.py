"""A small disk in memory that can be full: a tmpfs, made as small as what it holds, and large again.

It is mounted in a mount namespace of our own: nobody else sees it, and it is gone with the last of our processes. That
takes root's rights; without them, as in most containers, `mount` says why not.
"""

import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS of unshare(2)
_SIZE = 8 << 30  # bytes that it may take; it takes what is written
_TRIES, _SLACK = 20, 16 << 10  # bytes more at each try to make it small


class CannotMountError(Exception):
    """This machine lets us mount no disk of ours."""


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path

    def fill(self) -> None:
        """From now on hardly anything more can be written that needs another page."""
        for n in range(_TRIES):
            used = os.statvfs(self.path)
            try:
                return self._resize((used.f_blocks - used.f_bfree) * used.f_frsize + n * _SLACK)
            except CannotMountError:
                continue  # it holds more than that by now
        raise CannotMountError("the disk fills faster than it can be made smaller")

    def free(self) -> None:
        self._resize(_SIZE)

    def unmount(self) -> None:
        _run("umount", "--lazy", str(self.path))

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.path))


def mount(path: Path) -> Disk:
    """An empty one at `path`, which is made. Raises CannotMountError, and leaves an empty directory then."""
    path.mkdir(parents=True, exist_ok=True)
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise CannotMountError("only root may mount a disk of its own")
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS) != 0:
        raise CannotMountError(f"no mounts of our own: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path))
    return Disk(path)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise CannotMountError(f"no disk of our own: {said}") from error
