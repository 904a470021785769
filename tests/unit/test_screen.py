"""What `threadmill top` draws: as many lines as there are, every number, and no control code of anybody."""

import itertools
from datetime import UTC, datetime

from rich.console import Console

from deploy.frames import Frame
from deploy.screen import draw
from shared import ids
from shared.inspect.counts import Count
from shared.inspect.fleet import WorkerView
from shared.inspect.overview import ACTIVE, Alive, Backlog, Overview, Rung, Stored
from shared.inspect.partitions import Partition
from shared.inspect.problems import Problem
from shared.inspect.rates import Rates, Series
from shared.inspect.servers import PostgresHealth, RedisHealth
from shared.inspect.work import Runs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = Count(1_000, at_least=True)
POSTGRES = PostgresHealth(
    "18.4",
    False,
    110,
    197,
    123 << 30,
    "on",
    "on",
    "on",
    transaction_age=None,
    transaction=None,
    lock_wait=None,
    replicas=(),
)
REDIS = RedisHealth(
    *("6.2.14", "master", 0.001, 900 << 20, 0, "noeviction", 0, 123, 10_000, 5_000, 0, False, False, False, False)
)
STORED = Stored(
    backlog=Backlog(MANY, MANY, MANY, MANY, dead_age=90_000.0, oldest_age=90_000.0, at_least=True),
    active=dict.fromkeys(ACTIVE, MANY),
    runs=Runs(MANY, 4_000.0, MANY, 4_000.0, MANY, MANY, 400_000.0),
    workers=Alive(12, 3),
    apis=Alive(4, 1),
    rates=Rates(60, 12_345.6, 12_345.6, 1.5, 1_234.5, 99.9, 1.0, 1.0, p50=0.0021, p95=0.987, p99=3_700.0),
    hour=Series(60, ()),
    health=POSTGRES,
)
RUNG = Rung(waiting=1_234_567, wake_ups={"apply": 64, "execute": 123_456}, oldest=(), health=REDIS)


def frame(problems: int = 0, workers: int = 0, partitions: int = 0, seen: Overview | None = None) -> Frame:
    named = [Problem("postgres_away", f"number {n}: \x1b[31mred\nline", since=3.0) for n in range(problems)]
    return Frame(
        NOW,
        0.123,
        seen or Overview(STORED, RUNG, {}),
        [a_worker(n) for n in range(workers)],
        [Partition(n, n == 3, MANY, MANY, MANY, 90_000.0, None) for n in range(partitions)],
        named,
    )


def a_worker(n: int) -> WorkerView:
    return WorkerView(
        *(
            ids.mint(),
            f"host-{n}\x1b[2J",
            12_345,
            "execute",
            "0.1.0",
            NOW,
            1_234_567,
            100,
            150 << 20,
            0.1,
            None,
            "work",
        ),
        *(900.0, 1.5 if n else 20.0, NOW, 100),
    )


def lines(drawn: Frame, height: int | None, width: int = 80) -> list[str]:
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(draw(drawn, "every 2 s: q leaves, p stops", height))
    return capture.get().splitlines()


def test_a_frame_fits_its_terminal_whatever_there_is_to_show() -> None:
    height = 24
    for numbers in itertools.product((0, 1, 70), repeat=3):
        shown = lines(frame(numbers[0], numbers[1], numbers[2]), height)
        assert len(shown) <= height, numbers
        assert max(map(len, shown)) <= 80
        for number, word in zip(numbers, ("postgres_away", "host-", "1 d 1 h"), strict=True):
            assert number == 0 or any(word in line for line in shown) or f"and {number} more" in "".join(shown)


def test_no_table_is_a_head_without_a_row() -> None:
    for problems, partitions, height in itertools.product((0, 4, 70), (1, 70), (24, 20, 18)):
        shown = lines(frame(problems, 70, partitions), height)
        assert any("host-0" in line for line in shown), (problems, partitions, height)
        heads = [line.split()[:2] == ["partition", "waiting"] for line in shown]
        rows = [line.split()[:2] == ["0", "1,000+"] for line in shown]
        assert any(heads) == any(rows)
        assert any(rows) or (height < 24 and "partitions" in shown[-1])
        assert len(shown) <= height


def test_80_columns_show_every_number() -> None:
    text = "\n".join(lines(frame(), 24))
    for word in (
        "12,346",
        "1,234",
        "99.9",
        "2.1 ms",
        "987.0 ms",
        "1 h 1 min",
        "1,000+",
        "12 (3 silent)",
        "4 (1 silent)",
    ):
        assert word in text, word
    for word in ("110/197", "123 GiB", "900 MiB", "1,234,567", "64 + 123,456", "or more", "4 d 15 h"):
        assert word in text, word


def test_a_larger_terminal_shows_more_rows() -> None:
    drawn = frame(5, 20, 20)
    assert len(lines(drawn, 24)) < len(lines(drawn, 40)) < len(lines(drawn, None))


def test_nothing_of_what_is_shown_can_move_a_cursor() -> None:
    assert "\x1b" not in "\n".join(lines(frame(3, 3, 3), None, width=200))


def test_who_is_away_is_said_and_the_rest_is_shown() -> None:
    text = "\n".join(lines(frame(seen=Overview(None, RUNG, {"postgres": "connection refused"})), 24))
    assert "away: connection refused" in text
    assert "900 MiB" in text
