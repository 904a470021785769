"""Whatever is sent to Mosoo v1 is taken or refused in a sentence; what is well formed is taken in its order."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.dialects.mosoo import decode
from shared.errors import InvalidRequest
from shared.events import dump, load
from shared.models import BusyPolicy

FILE = "file_01KQX0V62MEXAMPLE7W6X3B2A"
ULID = "01J00000000000000000000009"

WORDS = st.sampled_from(
    ["user_message", "permission_decision", "user_interrupt", "user.message", "text", "file", FILE, ULID]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | WORDS
NAMES = "events type text requestId clientRequestId decision note runId on_busy attachmentIds resources files file_id"
KEYS = st.sampled_from([*NAMES.split(), "input", "content", "userId", "attributed_user_id"])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))


@given(ANYTHING)
def test_whatever_json_says_is_taken_or_refused_in_a_sentence(body: Any) -> None:
    for words in (said_of(decode.batch, body), said_of(decode.creation, body)):
        assert words == "" or (words.endswith(".") and len(words) < 500)


def said_of(read: Callable[[Any], object], body: Any) -> str:
    """The message of a refusal; empty where the body is taken."""
    try:
        read(body)
    except InvalidRequest as refusal:
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
    batch = decode.batch({"events": events})
    assert [event.type for event in batch.events] == [event["type"] for event in events]
    assert load(dump(batch.events)) == list(batch.events)
