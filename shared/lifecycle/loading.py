"""What a caller has to load before it can step: how many of the queue's runs, and which records by name."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from shared.events import (
    Event,
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    PermissionDecision,
    RunRequested,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    ThreadEdited,
    UserInterrupt,
    UserMessage,
)
from shared.ids import MessageId, RequestId, RunId, parse
from shared.lifecycle.table import ALL_RUNS
from shared.models import BusyPolicy
from shared.reports import AttemptLost, RequestExpired, RunExpired, RunFinished, RunnerEvent, RunOutput, RunStarted

_ENDS_ONE = (UserInterrupt, RunFinished, RunExpired, AttemptLost)
_ENDS_ALL = (ThreadArchived, ThreadDeleted)
_OF_A_REQUEST = (PermissionDecision, RequestExpired)
_OfMessages = MessageAdded | MessageEdited | MessageDeleted | RunRequested | ThreadEdited


class Names(NamedTuple):
    """What events refer to. With a request goes its run, with a clientRequestId the run it is kept with."""

    runs: frozenset[RunId]
    requests: frozenset[RequestId]
    client_requests: frozenset[str]
    messages: frozenset[MessageId] = frozenset()  # those that are edited or deleted: their metadata
    metadata: bool = False  # whether the thread's own are edited
    waiting: bool = False  # whether messages are added that wait for a run: how many do


def needed_runs(events: Iterable[Event | RunnerEvent], policy: BusyPolicy) -> int:
    """How many runs of the queue, from its front, these events can reach; ALL_RUNS where it may be any."""
    needed = 1
    for event in events:
        if _reaches_all(event, policy):
            return ALL_RUNS
        needed += isinstance(event, _ENDS_ONE)
    return min(needed, ALL_RUNS)


def may_meet_requests(events: Sequence[Event | RunnerEvent]) -> bool:
    """Whether open requests and offered messages of a running run matter for these events: not for its output."""
    return not events or not all(isinstance(event, RunOutput | RunStarted) for event in events)


def names(events: Iterable[Event | RunnerEvent]) -> Names:
    """The records to load beside the queue. Text that spells no id names nothing."""
    runs: set[RunId] = set()
    requests: set[RequestId] = set()
    client_requests: set[str] = set()
    others: list[_OfMessages] = []
    for event in events:
        if isinstance(event, UserMessage):
            if event.client_request_id is not None:
                client_requests.add(event.client_request_id)
        elif isinstance(event, _OF_A_REQUEST):
            request = parse(event.request)
            if request is not None:
                requests.add(RequestId(request))
        elif isinstance(event, RunRetried):
            runs.add(event.of)
        elif isinstance(event, _OfMessages):
            others.append(event)
        elif (run := getattr(event, "run", None)) is not None:
            runs.add(run)
    found = Names(frozenset(runs), frozenset(requests), frozenset(client_requests))
    return found._replace(**_of_messages(others)) if others else found


def _of_messages(events: Sequence[_OfMessages]) -> dict[str, Any]:
    return {
        "messages": frozenset(event.message for event in events if isinstance(event, MessageEdited | MessageDeleted)),
        "metadata": any(isinstance(event, ThreadEdited) and event.metadata for event in events),
        "waiting": any(isinstance(event, MessageAdded | RunRequested) for event in events),
    }


def _reaches_all(event: Event | RunnerEvent, policy: BusyPolicy) -> bool:
    if isinstance(event, UserMessage):
        return (event.on_busy or policy) == BusyPolicy.INTERRUPT
    return isinstance(event, _ENDS_ALL)
