"""Faults that tests build into a process, by name, from THREADMILL_TESTING: crash points, and builds wrong on purpose.

crash:<point>          the process is gone at that point, the first time it gets there
stop:<point>           the process stops at that point, the first time, until somebody lets it go on (SIGCONT)
poison_kill:<marker>   the worker is gone when it applies a batch that contains the text
ack_before_commit      the api answers before it writes
no_key_index           nothing keeps an Idempotency-Key from being stored twice
redis_only             a batch lives in Redis alone until somebody writes it, half a second later
stale_read             the partition's lock is taken in the statement that reads, and nobody counts what was marked
skip_locked            batches are locked row by row instead of by partition
ignore_epoch           a worker writes for a run though somebody else has its lease

The settings refuse every name unless THREADMILL_ENV=test. Nothing armed costs one look at an empty set.
"""

import os
import signal

CRASHED = 86  # the exit code, so that a test can tell this end from every other
# In the order of "The way of an event": what each one stands between is a row of docs/reliability.md.
ACCEPT = (
    "api.before_commit",
    "api.after_commit",
    "api.before_find",
    "api.before_rewrite",
    "api.after_rewrite",
    "api.before_judge",
    "api.before_ring",
    "api.after_ring",
    "api.after_outcome",
)
APPLY = (
    "worker.after_claim",
    "worker.after_look",
    "worker.after_lock",
    "worker.after_read",
    "worker.after_note",
    "worker.after_load",
    "worker.before_write",
    "worker.before_commit",
    "worker.after_commit",
    "worker.before_publish",
    "worker.after_publish",
    "worker.after_count",
    "worker.before_park",
    "worker.after_park",
)
EXECUTE = (
    "worker.before_lease",
    "worker.after_lease",
    "worker.after_start",
    "worker.after_beat",
    "worker.before_append",
    "worker.after_append",
    "worker.before_checkpoint",
    "worker.after_checkpoint",
    "worker.before_wait",
    "worker.after_wait",
    "worker.before_finish",
    "worker.after_finish",
    "worker.before_let_go",
    "worker.after_let_go",
    "worker.before_takeover",
    "worker.after_takeover",
    "worker.before_expiry",
    "worker.after_expiry",
    "webhook.after_claim",
    "webhook.before_mark",
    "webhook.after_mark",
)
FILES = (
    "file.after_begin",
    "file.before_rename",
    "file.after_bytes",
    "file.after_ready",
    "file.after_hold",
    "file.after_row_gone",
    "file.after_bytes_gone",
)
POINTS = (*ACCEPT, *APPLY, *EXECUTE, *FILES)
SWITCHES = ("ack_before_commit", "no_key_index", "redis_only", "stale_read", "skip_locked", "ignore_epoch")
_KNOWN = frozenset({*SWITCHES, *(f"{end}:{point}" for end in ("crash", "stop") for point in POINTS)})
_POISON = "poison_kill:"

_armed: frozenset[str] = frozenset()


def parse(testing: str) -> frozenset[str]:
    """The names of a list with commas. Raises ValueError on one that nothing in the code looks for."""
    wanted = frozenset(name.strip() for name in testing.split(",") if name.strip())
    for name in wanted - _KNOWN:
        if not name.startswith(_POISON):
            raise ValueError(f"unknown fault {name!r}")
    return wanted


def arm(testing: str) -> None:
    """Arms this process, once, where it is put together. Raises ValueError."""
    global _armed  # noqa: PLW0603 - a crash point stands deep in the code, where no settings are
    _armed = parse(testing)


def armed(name: str) -> bool:
    return name in _armed


def any_armed() -> bool:
    return bool(_armed)


def crash(point: str) -> None:
    """Ends the process here and now, as `kill -9` would, or stops it, where this point is armed."""
    if _armed:
        _meet(point)


def _meet(point: str) -> None:
    global _armed  # noqa: PLW0603 - a stop is disarmed by itself
    if f"crash:{point}" in _armed:
        os._exit(CRASHED)
    if (stop := f"stop:{point}") in _armed:
        _armed -= {stop}
        os.kill(os.getpid(), signal.SIGSTOP)


def crash_on(text: str) -> None:
    """Ends the process where the text holds an armed marker."""
    if _armed and any(name.startswith(_POISON) and name.removeprefix(_POISON) in text for name in _armed):
        os._exit(CRASHED)
