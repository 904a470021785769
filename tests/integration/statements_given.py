"""Arguments of the statements that take columns, each as a drain, an append or a flush gives them for one thread."""

from datetime import UTC, datetime

from shared import ids

MANY = 20_000  # rows of each table, for those who ask which of them a statement reads
THREAD = ids.from_bytes((1).to_bytes(16, "big"))
ACCOUNT = ids.from_bytes((1).to_bytes(16, "big"))


def made() -> tuple[object, ...]:
    """A run that retries another one, and collects what waits."""
    now = datetime.now(UTC)
    some: list[list[object]] = [[1], [THREAD], [ids.mint()], [MANY + 1], ["queued"], ["retry"], [now], [None], [now]]
    return (*some, [None], [None], [0], [ACCOUNT], [True], [False], [None], [], [], [])


def accept() -> tuple[object, ...]:
    some: list[list[object]] = [[ids.mint()], [1], [THREAD], [ACCOUNT], [ACCOUNT], ["[]"], ["api"]]
    return (*some, [0], ["key"], ["route"], [b"digest"], [None], [])


def written() -> tuple[object, ...]:
    """A batch is marked; a thread and a run of it move."""
    now = datetime.now(UTC)
    marks: list[list[object]] = [[1], [1], ["{}"]]
    thread: list[list[object]] = [[1], [THREAD], ["RUNNING"], [1], [THREAD], [0], [THREAD], [now], [None], [None]]
    said: list[list[object]] = [[] for _ in range(10)]
    moved: list[list[object]] = [
        [1],
        [THREAD],
        [THREAD],
        [0],
        ["running"],
        [now],
        [now],
        [None],
        [None],
        [1],
        ["queued"],
    ]
    logged: list[list[object]] = [[] for _ in range(11)]
    return (now, *marks, *thread, *said, *moved, *logged, ACCOUNT)


def said() -> tuple[object, ...]:
    """A run says something, a checkpoint is kept, and a lease ends."""
    said: list[list[object]] = [[1], [THREAD], [ids.mint()], ["assistant"], ["[]"], [THREAD], [None], [None]]
    messages = (*said, [datetime.now(UTC)], [None], [None])
    return (*messages, [1], [THREAD], [THREAD], ["{}"], [THREAD], [None], [1], [THREAD], [1])
