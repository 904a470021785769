"""Who the embedded Postgres runs as: it refuses to run as root.

An ordinary user runs it as itself. For root there are two ways, neither of which changes the machine (no
user is made, no mode changed): a user namespace in which our own id is called something else, so that the
files stay root's; else, where namespaces are refused (as in most containers), an unprivileged id that keeps
only the right to pass our directories. A cluster that belongs to somebody else is run as its owner.
"""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_NEW_USER_NAMESPACE = 0x10000000  # CLONE_NEWUSER of unshare(2)
_KEEP_CAPABILITIES = 8  # PR_SET_KEEPCAPS of prctl(2)
_AMBIENT, _RAISE = 47, 2  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE
_CAPABILITIES_V3 = 0x20080522
OVERRIDE, SEARCH = 1, 2  # CAP_DAC_OVERRIDE (any file), CAP_DAC_READ_SEARCH (read any file)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """`become` runs between fork and exec (None: stay who we are); `owner` is the (uid, gid) of its files."""

    name: str
    owner: tuple[int, int]
    become: Callable[[], None] | None = None


def choose(directory: Path, program: Path) -> Identity | None:
    """Who can run `program` in `directory`, which is then theirs; None where nobody can."""
    for identity in candidates(directory):
        give(directory, identity.owner)
        if _works(identity, directory, program):
            return identity
    return None


def candidates(directory: Path) -> Iterator[Identity]:
    """The ways there are for us, the best first."""
    owner = directory.stat()
    if os.geteuid() != 0:
        yield from _for_an_ordinary_user()
    elif owner.st_uid != 0:
        yield as_user(owner.st_uid, owner.st_gid)
    else:
        yield from _for_root()


def _for_an_ordinary_user() -> Iterator[Identity]:
    """Itself. An id without a name (as `docker run --user` gives) lends one, since initdb asks for it."""
    nameless = os.geteuid() not in {user.pw_uid for user in pwd.getpwall()}
    if nameless and sys.platform == "linux":
        yield from (in_namespace(user.pw_uid) for user in _strangers()[:1])
    yield Identity("itself", (os.geteuid(), os.getegid()))


def _for_root() -> Iterator[Identity]:
    if sys.platform == "linux":
        for user in _strangers()[:1]:
            yield in_namespace(user.pw_uid)
            yield as_user(user.pw_uid, user.pw_gid)


def in_namespace(uid: int) -> Identity:
    """Our own id, called `uid` within."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()

    def become() -> None:
        _check(_libc.unshare(_NEW_USER_NAMESPACE))
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {outer_uid} 1"),
            ("gid_map", f"{uid} {outer_gid} 1"),
        ):
            Path(f"/proc/self/{file}").write_text(text, encoding="ascii")

    return Identity("namespace", (outer_uid, outer_gid), become)


def as_user(uid: int, gid: int, capabilities: tuple[int, ...] = (OVERRIDE, SEARCH)) -> Identity:
    """Another id that keeps `capabilities`, where we have them to give."""

    def become() -> None:
        keeps = _libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0) == 0
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if keeps:
            _keep(capabilities)

    return Identity("user", (uid, gid), become)


def _keep(capabilities: tuple[int, ...]) -> None:
    """Makes them last over exec. Failing is no error: without them it can do what its id may."""
    mask = sum(1 << capability for capability in capabilities)
    sets = (_Set * 2)(_Set(mask, mask, mask), _Set(0, 0, 0))
    _libc.capset(ctypes.byref(_Header(_CAPABILITIES_V3, 0)), ctypes.byref(sets))
    for capability in capabilities:
        _libc.prctl(_AMBIENT, _RAISE, capability, 0, 0)


def _strangers() -> list[pwd.struct_passwd]:
    """Ids other than root that have a name, which initdb asks for; `nobody` first."""
    others = [user for user in pwd.getpwall() if user.pw_uid != 0]
    return sorted(others, key=lambda user: user.pw_name != "nobody")


def give(directory: Path, owner: tuple[int, int]) -> None:
    """The directory and all in it, where it is not theirs yet."""
    if directory.stat().st_uid != owner[0]:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)


def _works(identity: Identity, directory: Path, program: Path) -> bool:
    """Whether it can enter the directory and run the program, tried out."""
    if identity.become is None:
        return True
    try:
        tried = subprocess.run(  # noqa: S603 - both paths are ours
            ("/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", directory, program),
            preexec_fn=identity.become,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
