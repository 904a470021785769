"""What all users came to: the violations, and how often each thing happened that a run must have had to count."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.executions.phases import Phase, phases_of
from tests.faults.executions.rows import Rows
from tests.faults.users.book import Book
from tests.faults.users.calls import OF_RUNS, Act
from tests.faults.users.checker import asked_of, check
from tests.faults.users.deeds import decided, has_cancelled
from tests.faults.users.history import History, Lines
from tests.faults.users.told import SHAPELESS, told
from tests.faults.violations import Kind, Violation

LOST = "runs that lost a worker"
DECISIONS, INTERRUPTS, CANCELS = "permissions decided", "interrupts of a run at work", "runs cancelled in OpenAI"
TOLD = "runs told to their end, or to a question"
REOPENED, REJOINED = "streams of threads opened again", "streams of runs opened again"

# What a minute must bring at least, with `USERS` of them: at most a third of what two cores under a load of 9 did.
USERS = 9
A_MINUTE: Mapping[str, float] = {
    "mosoo runs": 10,
    "cortex runs": 10,
    "openai runs": 8,
    "openai messages": 6,
    "aiml messages": 6,
    "runs completed": 30,
    LOST: 2,
    DECISIONS: 8,
    "cortex decisions": 1,
    "openai decisions": 1,
    INTERRUPTS: 2,
    CANCELS: 0.2,
    TOLD: 12,
    REOPENED: 80,
    REJOINED: 2,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: tuple[Violation, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)


def judge(book: Book, found: Rows, lists: list[tuple[str, str, Lines]]) -> Verdict:
    history = History(
        calls=book.calls,
        requests=book.requests,
        stops=book.stops,
        copies=[reader.copy for reader in book.readers],
        agents={place.thread: place.agent for place in book.places},
        lists=lists,
    )
    unread = (Violation(Kind.REFUSED, "-", what) for line in book.lines for what in line.unread)
    return Verdict((*check(history, found), *unread), count(book, history, found))


def count(book: Book, history: History, found: Rows) -> Counter[str]:
    """How often each thing happened."""
    met = phases_of(book.stops, found, asked_of(found, history.agents or {}))
    called = Counter(
        f"{call.dialect} {call.act}"
        for call in book.calls
        if (call.is_done if call.act is Act.DECISION else call.has_happened)
    )
    said = Counter(one.events[0]["type"] for one in book.requests if one.acknowledged)
    return called + Counter(
        {
            "mosoo runs": said["user_message"],
            "mosoo decisions": said["permission_decision"],
            "mosoo interrupts": said["user_interrupt"],
            DECISIONS: sum(1 for _ in decided(history)),
            INTERRUPTS: met[Phase.RUNNING] + met[Phase.STARTING] + met[Phase.WAITING],
            REOPENED: sum(max(reader.connections - 1, 0) for reader in book.readers if reader.streams),
            REJOINED: sum(line.rejoined for line in book.lines),
            "streams of threads lost": sum(reader.losses for reader in book.readers if reader.streams),
            LOST: sum(run.losses > 0 for run in found.runs),
            "runs that lost three": sum(run.error == "runtime.lost" for run in found.runs),
            TOLD: sum(
                any(told(reply).state not in (None, SHAPELESS) for reply in call.replies)
                for call in book.calls
                if call.act in OF_RUNS
            ),
            CANCELS: sum(has_cancelled(call) for call in book.calls if call.act is Act.INTERRUPT),
            "unknown calls": sum(not call.known for call in book.calls),
            **Counter(f"runs {run.status}" for run in found.runs),
        }
    )
