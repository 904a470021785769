"""Those who run `threadmill dev`: root, root where namespaces are refused (as in most containers), an ordinary user."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy import identity

AS_ROOT = os.geteuid() == 0
ORDINARY = 65534  # `nobody`

_NEW_USER_NAMESPACE = 0x10000000  # CLONE_NEWUSER of unshare(2)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class User:
    """`become` runs in the new process before the program does; `home` is a directory of theirs."""

    name: str
    home: Path
    become: Callable[[], None] | None = None

    @property
    def writes_everywhere(self) -> bool:
        return AS_ROOT and self.name != "nobody"


def user(name: str, home: Path) -> User:
    """The user of a name; an ordinary one may read the interpreter wherever root has put it."""
    if name == "nobody":
        os.chown(home, ORDINARY, ORDINARY)
        return User(name, home, identity.as_user(ORDINARY, ORDINARY, (identity.SEARCH,)).become)
    return User(name, home, _contained if name == "root in a container" else None)


def names() -> list[str]:
    """All that we can be. Where namespaces are refused, `root` is in a container already."""
    if not AS_ROOT:
        return ["me"]
    contained = ["root in a container"] if _can_make_namespaces() else []
    return ["root", *contained, "nobody"]


def _can_make_namespaces() -> bool:
    try:
        subprocess.run(
            "true",
            preexec_fn=identity.in_namespace(ORDINARY).become,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _contained() -> None:
    """Enters a user namespace that has all ids, and in which no other can be made."""
    told, tell = os.pipe()
    mapper = os.fork()
    if mapper == 0:  # the ids of the namespace can only be given from outside
        os.read(told, 1)
        for file in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{file}").write_text("0 0 65536", encoding="ascii")
        os._exit(0)
    if _libc.unshare(_NEW_USER_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), "no namespace to try the refusal in")
    os.write(tell, b".")
    os.waitpid(mapper, 0)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
