"""A frame of `threadmill top` as lines: numbers first, then problems, workers, partitions: as many as there is room.

Whatever somebody could have written (names, errors) is text without a terminal's control codes.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy import context
from deploy.frames import Frame
from shared import words
from shared.inspect.counts import Count
from shared.inspect.fleet import WorkerView
from shared.inspect.overview import Overview, Rung, Stored
from shared.inspect.partitions import Partition
from shared.inspect.problems import Problem, Severity

T = TypeVar("T")

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_LABEL = 13  # columns of a line's name
_TABLE = 3  # lines of a table beside its rows: a blank one, its head, a rule
_ROWS = 2  # at least, where there are so many: one of them may say how many more there are


def draw(frame: Frame, note: str, height: int | None = None) -> RenderableType:
    """`height`: lines that there are; None: as many as it takes. In 80 columns every number is there."""
    numbers = _numbers(frame.seen)
    head = Text(f"threadmill top  {frame.at:%H:%M:%S} UTC  read in {frame.took * 1000:.0f} ms", style="bold")
    parts: list[RenderableType] = [Text.assemble(head, ("  " + note, "dim")), *numbers]
    left = None if height is None else height - 1 - len(numbers)
    rooms = _rooms(left, (len(frame.problems), len(frame.workers), len(frame.partitions)))
    parts += _problems(frame.problems, rooms[0])
    if frame.workers:
        parts += _listed(frame.workers, rooms[1], _workers)
    if frame.partitions and not rooms[2]:
        parts.append(_line("partitions", f"{len(frame.partitions)}: `threadmill queue status`", "dim"))
    elif frame.partitions:
        parts += _listed(frame.partitions, rooms[2], _partitions)
    return Group(*parts)


def _rooms(left: int | None, wanted: tuple[int, int, int]) -> tuple[int, int, int]:
    """Lines for problems, rows of workers and of partitions: problems get a third, and each table at least two rows.
    Where there is no room for both tables, that of partitions is a line."""
    if left is None:
        return wanted
    least = [_TABLE + min(number, _ROWS) for number in wanted[1:] if number]
    problems = min(wanted[0], max(min(left // 3, left - sum(least)), 1))
    room = left - max(problems, 1)
    if len(least) == len(wanted[1:]) and room < sum(least):
        return problems, min(wanted[1], max(room - 1 - _TABLE, 1)), 0
    rest = room - len(least) * _TABLE
    workers = min(wanted[1], max(rest // max(len(least), 1), rest - wanted[2], 1))
    return problems, workers, min(wanted[2], max(rest - workers, 1))


def _fitting(found: Sequence[T], room: int) -> tuple[Sequence[T], int]:
    """Those that are shown, and how many are not: saying so takes the line of one."""
    if len(found) <= room:
        return found, 0
    shown = found[: max(room - 1, 0)]
    return shown, len(found) - len(shown)


def _plain(text: str) -> str:
    return context.plain(text).replace("\n", " ").replace("\t", " ")


def _line(label: str, text: str, style: str = "") -> Text:
    return Text(f"{label:<{_LABEL}}{_plain(text)}", style=style, no_wrap=True, overflow="ellipsis")


def _numbers(seen: Overview) -> list[Text]:
    lines = [_line(server, f"away: {why}", "bold red") for server, why in seen.errors.items()]
    if seen.stored is not None:
        lines += _of_postgres(seen.stored)
    if seen.rung is not None:
        lines.append(_of_redis(seen.rung))
    return lines


def _of_postgres(stored: Stored) -> list[Text]:
    backlog, runs, health, pace = stored.backlog, stored.runs, stored.health, stored.rates
    rates = (
        "nobody has counted yet"
        if pace is None
        else f"in {_rate(pace.accepted)}  applied {_rate(pace.applied)}  dead {_rate(pace.parked)}"
        f"  runs done {_rate(pace.completed)}  failed {_rate(pace.failed)}"
    )
    late = "-" if pace is None else "  ".join(f"{p} {_ms(getattr(pace, p))}" for p in ("p50", "p95", "p99"))
    oldest = words.age(backlog.oldest_age) or "-"
    return [
        _line("a second", rates),
        _line("to applied", f"{late}   (last minute)"),
        _line("batches", f"waiting {backlog.waiting}, oldest {oldest}{' or more' if backlog.at_least else ''}"),
        _line(
            "held up",
            f"of paused accounts {backlog.held}  blocked {backlog.blocked}  dead letters {backlog.dead}",
            "yellow" if backlog.dead.value else "",
        ),
        _line("runs", "  ".join(f"{status} {number}" for status, number in stored.active.items())),
        _line("", f"to take {_since(runs.ready, runs.ready_age)}  permissions {_since(runs.asking, runs.asking_age)}"),
        _line("processes", f"workers {_alive(stored.workers)}  apis {_alive(stored.apis)}"),
        _line(
            "Postgres",
            f"{health.version}  connections {health.connections}/{health.connections_limit}  {_bytes(health.size)}",
        ),
    ]


def _of_redis(rung: Rung) -> Text:
    health = rung.health
    wake_ups = " + ".join(f"{number:,}" for number in rung.wake_ups.values())  # to apply, and to execute
    return _line(
        "Redis",
        f"{_bytes(health.memory)}  clients {health.clients}  waiting {rung.waiting:,}  wake-ups {wake_ups}",
    )


def _alive(found: object) -> str:
    alive, silent = getattr(found, "alive", 0), getattr(found, "silent", 0)
    return f"{alive}{f' ({silent} silent)' if silent else ''}"


def _problems(found: Sequence[Problem], room: int) -> list[RenderableType]:
    if not found:
        return [_line("problems", "none", "green")]
    shown, more = _fitting(found, room)
    lines: list[RenderableType] = [_problem(one) for one in shown]
    return [*lines, _line("", f"and {more} more: `threadmill doctor`", "dim")] if more else lines


def _problem(one: Problem) -> Text:
    since = f" (for {words.age(one.since)})" if one.since is not None else ""
    return _line(one.severity, f"{one.code}: {one.what}{since}", _STYLES[one.severity])


def _listed(found: Sequence[T], room: int, table: Callable[[Sequence[T]], Table]) -> list[RenderableType]:
    shown, more = _fitting(found, room)
    drawn = table(shown)
    if more:
        drawn.add_row(f"and {more} more", style="dim")
    return [Text(""), drawn]


def _workers(found: Sequence[WorkerView]) -> Table:
    table = _table("worker", "host", "pid", "does", "applied", "runs", "memory", "silent")
    for one in found:
        does = (one.doing if one.doing != "work" else one.roles) if one.lives else "silent"
        work = (f"{one.applied:,}", str(one.executing), _bytes(one.memory), words.age(one.silent))
        style = "" if one.lives and one.doing == "work" else "yellow"
        table.add_row(*(_plain(cell) for cell in (one.id, one.host, str(one.pid), does, *work)), style=style)
    return table


def _partitions(found: Sequence[Partition]) -> Table:
    table = _table("partition", "waiting", "oldest", "of paused", "blocked", "in hand of", "state")
    for one in sorted(found, key=lambda one: -(one.oldest_age or 0)):
        holder = one.holder.name if one.holder else ""
        counts = (str(one.waiting), words.age(one.oldest_age), str(one.held), str(one.blocked))
        cells = (str(one.id), *counts, holder, "paused" if one.paused else "")
        table.add_row(*(_plain(cell) for cell in cells), style="cyan" if one.paused else "")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


def _since(number: Count, oldest: float | None) -> str:
    return f"{number}" if oldest is None else f"{number} for {words.age(oldest)}"


def _rate(number: float) -> str:
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else words.age(seconds)


def _bytes(number: int | None) -> str:
    if number is None:
        return ""
    size, units = float(number), ("B", "KiB", "MiB", "GiB")
    for unit in units:
        if size < 1024 or unit == units[-1]:
            break
        size /= 1024
    return f"{size:,.0f} {unit}"
