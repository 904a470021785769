"""Text of every kind, spelt in every way, in every dialect: what is taken reads back equal from Postgres, and what
can't be stored is 400 and leaves nothing. EXAMPLES=3000 makes more of them than the usual 30 of each dialect.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.agents import Stage
from tests.contract.cortex_client import RUN, THREADS, Cortex
from tests.contract.openai_client import call
from tests.contract.storing import stored
from tests.spellings import ODD_TEXTS, spelt, storable

EXAMPLES = int(os.environ.get("EXAMPLES", "30"))
pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.timeout(60 + EXAMPLES)]

many = budget(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,  # the same ones each time, unless somebody looks for more
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NOT_BLANK = ODD_TEXTS.filter(lambda text: bool(text) and not text.isspace())
PAIRS = st.dictionaries(ODD_TEXTS.map(lambda text: text[:64]), ODD_TEXTS.filter(bool), max_size=3)


async def send(stage: Stage, path: str, body: Any, data: bytes, before: dict[str, int]) -> Any:
    """What is answered where it is taken; None where it is refused, which it is only with a reason."""
    reply = await call(stage.client, "POST", path, data)
    if reply.status == 400:
        assert not (readable(data) and storable(body)), (data, reply)
        assert await stored(stage.service) == before
        return None
    assert reply.status in (200, 201), (data, reply)
    assert storable(body)
    return reply.json


def readable(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def whole(draw: st.DrawFn, body: st.SearchStrategy[Any]) -> tuple[Any, bytes]:
    """A body and its spelling; no byte of it is wrong."""
    value = draw(body)
    return value, draw(spelt(value, wrong=False))


@many
@given(
    made=whole(
        st.fixed_dictionaries(
            {
                "input": st.builds(
                    lambda texts: {"type": "user.message", "content": [{"type": "text", "text": one} for one in texts]},
                    st.lists(NOT_BLANK, min_size=1, max_size=3),
                ),
                "client_external_ref": ODD_TEXTS,
                "userId": ODD_TEXTS.filter(bool),
            }
        )
    ),
    sent=whole(
        st.fixed_dictionaries(
            {
                "events": st.lists(
                    st.fixed_dictionaries(
                        {"type": st.just("user_message"), "text": NOT_BLANK, "clientRequestId": ODD_TEXTS.filter(bool)}
                    ),
                    min_size=1,
                    max_size=3,
                    unique_by=lambda event: event["clientRequestId"],
                )
            }
        )
    ),
)
async def test_in_the_native_dialect(stage: Stage, made: tuple[Any, bytes], sent: tuple[Any, bytes]) -> None:
    (body, data), before = made, await stored(stage.service)
    answer = await send(stage, f"/api/v1/agents/{stage.client.agent}/threads", body, data, before)
    if answer is None:
        return
    thread = answer["thread"]["id"]
    found = (await stage.client.call("GET", f"/threads/{thread}")).json["thread"]
    assert (found["client_external_ref"], found["userId"]) == (body["client_external_ref"], body["userId"])
    texts = ["\n".join(part["text"] for part in body["input"]["content"])]
    await stage.until(thread, answer["run"]["id"])
    batch, data = sent
    told = await send(stage, f"/api/v1/threads/{thread}/events", batch, data, await stored(stage.service))
    if told is not None:
        assert [one["clientRequestId"] for one in told["events"]] == [one["clientRequestId"] for one in batch["events"]]
        texts += [event["text"] for event in batch["events"]]
        for event in told["events"]:
            await stage.until(thread, event["run"]["id"])
    assert [event["content"] for event in await stage.events(thread) if event["type"] == "user.message"] == texts


@many
@given(
    named=whole(st.fixed_dictionaries({"thread_name": ODD_TEXTS})),
    asked=whole(
        st.builds(
            lambda text: {"stream": False, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
            NOT_BLANK,
        )
    ),
)
async def test_in_cortex(stage: Stage, named: tuple[Any, bytes], asked: tuple[Any, bytes]) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    body, data = named
    if await send(stage, f"{THREADS}/{thread}", body, data, await stored(stage.service)) is not None:
        assert (await cortex.metadata(thread))["thread_name"] == body["thread_name"]
    body, data = asked
    path = f"{RUN}?thread_id={thread}"
    answer = await send(stage, path, body, data, await stored(stage.service))
    if answer is not None:
        said = [one for one in (await cortex.describe(thread))["messages"] if one["role"] == "user"]
        assert [one["message_payload"] for one in said] == [body["messages"][0]["content"][0]["text"]]


@many
@given(
    made=whole(
        st.fixed_dictionaries(
            {
                "metadata": PAIRS,
                "messages": st.lists(
                    st.fixed_dictionaries({"role": st.just("user"), "content": NOT_BLANK, "metadata": PAIRS}),
                    max_size=3,
                ),
            }
        )
    )
)
async def test_in_openai_s_dialect(stage: Stage, made: tuple[Any, bytes]) -> None:
    body, data = made
    answer = await send(stage, "/v1/threads", body, data, await stored(stage.service))
    if answer is not None:
        assert answer["metadata"] == body["metadata"]
        path = f"/v1/threads/{answer['id']}/messages?order=asc"
        found = (await call(stage.client, "GET", path)).json["data"]
        kept = [(one["content"][0]["text"]["value"], one["metadata"]) for one in found]
        assert kept == [(one["content"], one["metadata"]) for one in body["messages"]]
