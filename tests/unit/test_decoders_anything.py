"""Whatever is sent in any dialect is taken or refused in words; what is taken can be stored and reads back equal."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from pydantic_core import from_json

from api import body
from api.dialects.cortex import decode as cortex
from api.dialects.mosoo import decode as mosoo
from api.dialects.openai import decode as openai
from shared.errors import InvalidJson, InvalidRequest, NotFound
from shared.events import Event, dump, load
from shared.ids import AgentId, Ulid
from shared.models import BusyPolicy
from tests.spellings import spelt, storable

FILE = "file_01KQX0V62MEXAMPLE7W6X3B2A"
ULID = "01J00000000000000000000009"

WORDS = st.sampled_from(
    ["user_message", "permission_decision", "user_interrupt", "user.message", "text", "file", FILE, ULID]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | WORDS
NAMES = "events type text requestId clientRequestId decision note runId on_busy attachmentIds resources files file_id"
MORE = (
    "messages role content metadata attachments thread stream assistant_id tool_outputs tool_call_id output user allow"
)
CORTEX = "thread_id parent_message_id origin_application thread_name tool_result tool_use_id json"
KEYS = st.sampled_from([*NAMES.split(), *MORE.split(), *CORTEX.split(), "input", "userId", "attributed_user_id"])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))
READERS: dict[str, Callable[[Any], Any]] = {
    "mosoo batch": mosoo.batch,
    "mosoo creation": mosoo.creation,
    "mosoo edit": mosoo.edit,
    "cortex creation": cortex.creation,
    "cortex update": cortex.update,
    "cortex run": cortex.run,
    "cortex run of a query": lambda given: cortex.run(given, "1000000000"),
    "openai message": openai.message,
    "openai opening": openai.opening,
    "openai metadata": openai.metadata,
    "openai request": openai.request,
    "openai opening and request": openai.opening_and_request,
    "openai outputs": openai.outputs,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@budget(max_examples=40)
@given(given_body=ANYTHING)
@example(given_body={"assistant_id": ""})  # an assistant that nobody has: 404
def test_whatever_json_says_is_taken_or_refused_in_a_sentence(read: Callable[[Any], Any], given_body: Any) -> None:
    words = said_of(read, given_body)
    assert words == "" or (words.endswith(".") and len(words) < 500)


@given(st.binary(max_size=60) | ANYTHING.flatmap(spelt))
@example(b'{"a":"\xed\xa0\x80"}')
@example(b'{"a":1,"a":1}')
def test_bytes_that_are_taken_are_what_another_parser_reads_and_can_be_stored(data: bytes) -> None:
    try:
        value = body.decode(data)
    except (InvalidJson, InvalidRequest):
        return
    assert value == json.loads(data) == from_json(data, allow_inf_nan=False)
    assert storable(value)
    assert body.decode(json.dumps(value).encode()) == value


@given(ANYTHING.flatmap(spelt))
def test_what_can_be_stored_and_is_spelt_right_is_taken(data: bytes) -> None:
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError:
        return
    if storable(value):
        assert body.decode(data) == value


MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant"]),
        "content": st.text(min_size=1)
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}), min_size=1, max_size=3),
    },
    optional={"metadata": st.dictionaries(st.text(max_size=64), st.text(max_size=512) | st.none(), max_size=16)},
)


@given(st.lists(MESSAGES, max_size=4), st.text())
def test_events_of_every_dialect_are_read_back_as_they_were_dumped(messages: list[Any], text: str) -> None:
    for events in taken(messages, text):
        assert load(dump(events)) == list(events)


def taken(messages: list[Any], text: str) -> Iterator[list[Event]]:
    """Of what the decoders take."""
    for read in (
        lambda: openai.opening({"messages": messages}).messages,
        lambda: openai.request({"assistant_id": ULID, "additional_messages": messages}).messages,
        lambda: [cortex.update({"thread_name": text[:1_000]}).event],
        lambda: [asked(text).request(AgentId(Ulid(ULID)), "a request", 0)],
    ):
        try:
            yield list(read())
        except InvalidRequest:
            continue


def asked(text: str) -> cortex.RunAsked:
    return cortex.run({"messages": [{"role": "user", "content": text}]})


def said_of(read: Callable[[Any], object], body: Any) -> str:
    """The message of a refusal; empty where the body is taken."""
    try:
        read(body)
    except (InvalidRequest, NotFound) as refusal:
        return refusal.message
    return ""


EVENTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("user_message"), "text": st.text(min_size=1).filter(str.strip)},
        optional={"clientRequestId": st.text(min_size=1, max_size=255), "on_busy": st.sampled_from(list(BusyPolicy))},
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("permission_decision"),
            "requestId": st.text(min_size=1, max_size=255),
            "decision": st.sampled_from(["allow_once", "reject_once"]),
        },
        optional={"note": st.text(max_size=2000)},
    )
    | st.fixed_dictionaries({"type": st.just("user_interrupt")}, optional={"runId": st.just(ULID) | st.none()}),
    min_size=1,
    max_size=100,
)


@given(EVENTS)
def test_every_well_formed_batch_is_taken_in_its_order(events: list[dict[str, Any]]) -> None:
    batch = mosoo.batch({"events": events})
    assert [event.type for event in batch.events] == [event["type"] for event in events]
    assert load(dump(batch.events)) == list(batch.events)
