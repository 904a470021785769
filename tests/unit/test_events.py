"""The inbox's text of a batch: what is dumped is loaded again, and nothing else is."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shared import events
from shared.events import (
    Event,
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    PermissionDecision,
    RunEdited,
    RunRequested,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    ThreadEdited,
    ThreadUnarchived,
    UserInterrupt,
    UserMessage,
)
from shared.ids import AgentId, FileId, MessageId, RunId, from_bytes
from shared.models import BusyPolicy
from shared.reports import RunLeased
from tests.unit.ledger import number

IDS = st.binary(min_size=16, max_size=16).map(from_bytes)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
PARTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3)
ADDED = st.builds(
    MessageAdded,
    IDS.map(MessageId),
    st.sampled_from(["user", "assistant"]),
    PARTS,
    metadata=st.dictionaries(TEXTS, TEXTS, max_size=3),
    request_id=st.none() | TEXTS,
)
AMENDS = st.dictionaries(TEXTS, st.none() | TEXTS, max_size=3)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        UserMessage,
        IDS.map(RunId),
        TEXTS,
        client_request_id=st.none() | TEXTS,
        on_busy=st.none() | st.sampled_from(BusyPolicy),
        files=st.lists(IDS.map(FileId), max_size=3).map(tuple),
    ),
    st.builds(PermissionDecision, TEXTS, st.booleans(), st.none() | TEXTS),
    st.builds(UserInterrupt, st.none() | IDS.map(RunId)),
    st.builds(RunEdited, IDS.map(RunId), TEXTS),
    st.builds(RunRetried, IDS.map(RunId), IDS.map(RunId)),
    ADDED,
    st.builds(
        RunRequested,
        IDS.map(RunId),
        st.none() | IDS.map(AgentId),
        st.lists(ADDED, max_size=3).map(tuple),
        st.none() | st.integers(0, 2**53),
        st.none() | st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3),
    ),
    st.builds(MessageEdited, IDS.map(MessageId), AMENDS),
    st.builds(MessageDeleted, IDS.map(MessageId)),
    st.builds(ThreadEdited, st.none() | TEXTS, AMENDS),
    st.builds(ThreadArchived),
    st.builds(ThreadUnarchived),
    st.builds(ThreadDeleted),
)


@given(st.lists(EVENTS, max_size=5))
def test_what_is_dumped_is_loaded_again(batch: list[Event]) -> None:
    assert events.load(events.dump(batch)) == batch


def test_the_text_names_the_type_and_what_is_set() -> None:
    message = UserMessage(RunId(number(1)), "hello", on_busy=BusyPolicy.STEER)
    assert json.loads(events.dump([message, UserInterrupt()])) == [
        {"type": "user_message", "run": number(1), "text": "hello", "on_busy": "steer"},
        {"type": "user_interrupt"},
    ]
    (stored,) = json.loads(events.dump([UserMessage(RunId(number(1)), "", files=(FileId(number(2)),))]))
    assert stored == {"type": "user_message", "run": number(1), "text": "", "files": [number(2)]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "1",
        "null",
        "[1]",
        '["user_message"]',
        "[{}]",
        '{"type": "user_interrupt"}',
        '[{"type": "what"}]',
        '[{"type": "user_message"}]',
        '[{"type": "user_interrupt", "what": 1}]',
        '[{"type": "user_message", "run": "r", "text": "hello", "on_busy": "what"}]',
        '[{"type": "user_message", "run": "r", "text": "hello", "files": 1}]',
    ],
)
def test_what_dump_would_not_have_written_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's and ours, whatever they say
        events.load(text)


def test_a_request_for_a_run_without_metadata_is_stored_as_it_always_was() -> None:
    stored = [{"type": "run_requested", "run": number(1), "messages": []}]
    assert json.loads(events.dump([RunRequested(RunId(number(1)))])) == stored
    assert events.load(json.dumps(stored)) == [RunRequested(RunId(number(1)))]


def test_a_report_of_a_runner_is_not_an_event_of_a_batch() -> None:
    with pytest.raises(ValueError, match="not a batch of events"):
        events.load(f'[{{"type": "{RunLeased.type}", "run": "{number(1)}"}}]')
