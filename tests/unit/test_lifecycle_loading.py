"""What a caller is told to load for a batch."""

import pytest

from shared.events import (
    Event,
    MessageAdded,
    PermissionDecision,
    RunEdited,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    UserInterrupt,
    UserMessage,
)
from shared.ids import MessageId, RequestId, RunId
from shared.lifecycle import ALL_RUNS, names, needed_runs
from shared.models import BusyPolicy
from shared.reports import AttemptLost, RequestExpired, RunExpired, RunFinished, RunLeased, RunnerEvent
from tests.unit.ledger import number

RUN = RunId(number(50))


def message(on_busy: BusyPolicy | None = None, client_request_id: str | None = None) -> UserMessage:
    return UserMessage(RUN, "hello", client_request_id, on_busy)


@pytest.mark.parametrize(
    ("events", "needed"),
    [
        ([], 1),
        ([message()] * 100, 1),
        ([message(BusyPolicy.REJECT), message(BusyPolicy.STEER)], 1),
        ([UserInterrupt()], 2),
        ([UserInterrupt(RUN), message(), UserInterrupt()], 3),
        ([UserInterrupt()] * 1000, ALL_RUNS),
        ([message(), message(BusyPolicy.INTERRUPT)], ALL_RUNS),
        ([ThreadArchived()], ALL_RUNS),
        ([ThreadDeleted()], ALL_RUNS),
        ([RunEdited(RUN, "hello"), RunRetried(RUN, RUN)], 1),
        ([RunLeased(RUN)], 1),
        ([RunFinished(RUN)], 2),
        ([RunExpired(RUN)], 2),
        ([AttemptLost(RUN)], 2),
    ],
)
def test_as_many_runs_are_needed_as_may_end_and_one_more(events: list[Event | RunnerEvent], needed: int) -> None:
    assert needed_runs(events, BusyPolicy.QUEUE) == needed


def test_the_agents_policy_counts_where_a_message_has_none() -> None:
    assert needed_runs([message()], BusyPolicy.INTERRUPT) == ALL_RUNS
    assert needed_runs([message(BusyPolicy.QUEUE)], BusyPolicy.INTERRUPT) == 1


def test_the_names_are_what_the_events_refer_to() -> None:
    named = names(
        [
            message(client_request_id="r-1"),
            message(),
            UserInterrupt(RUN),
            UserInterrupt(),
            RunEdited(RunId(number(54)), "hello"),
            RunRetried(RunId(number(55)), RunId(number(56))),
            PermissionDecision(number(51).lower(), allow=True),
            PermissionDecision("what?", allow=True),
            RequestExpired(RequestId(number(52))),
            MessageAdded(MessageId(number(53)), "user", []),
        ]
    )
    assert named.runs == {RUN, number(54), number(56)}
    assert named.requests == {number(51), number(52)}
    assert named.client_requests == {"r-1"}
