"""OpenAI's client for Python that blocks, unmodified: it does what the asynchronous one of the other pages does.

It runs in a thread of its own, as beside a service that is another process.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai import AssistantEventHandler, OpenAI

from tests.agents import Stage
from tests.service import Client

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


@contextmanager
def blocking(client: Client) -> Iterator[Any]:
    """`beta.threads`; not typed, because all of it is marked as deprecated."""
    with OpenAI(base_url=f"{client.url}/v1", api_key=client.token, max_retries=0) as made:
        yield made.beta.threads


class Ears(AssistantEventHandler):
    """What a user's handler is told: names of events, and the words."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.words: list[str] = []
        self.done: list[str] = []
        self.ended = 0

    def on_event(self, event: Any) -> None:
        self.events.append(event.event)

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.words.append(delta.value)
        assert snapshot.value == "".join(self.words)

    def on_text_done(self, text: Any) -> None:
        self.done.append(text.value)

    def on_end(self) -> None:
        self.ended += 1


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(threads: Any, thread: str, **query: Any) -> list[tuple[str, str]]:
    listed = threads.messages.list(thread, order="asc", **query)
    return [(one.role, one.content[0].text.value) for one in listed]


async def test_threads_and_messages_are_made_read_changed_and_deleted(stage: Stage) -> None:
    def talk() -> None:
        with blocking(stage.client) as threads:
            thread = threads.create(messages=[user("hello")], metadata={"a": "1"})
            assert threads.retrieve(thread.id) == thread
            assert threads.update(thread.id, metadata={"a": "", "b": "2"}).metadata == {"b": "2"}
            message = threads.messages.create(thread.id, role="user", content="more")
            assert threads.messages.retrieve(message.id, thread_id=thread.id) == message
            changed = threads.messages.update(message.id, thread_id=thread.id, metadata={"c": "3"})
            assert changed.metadata == {"c": "3"}
            assert said(threads, thread.id) == [("user", "hello"), ("user", "more")]
            assert threads.messages.delete(message.id, thread_id=thread.id).deleted is True
            assert threads.delete(thread.id).deleted is True
            with pytest.raises(openai.NotFoundError):
                threads.messages.retrieve(message.id, thread_id=thread.id)

    await asyncio.to_thread(talk)


async def test_runs_are_polled_listed_and_cancelled(stage: Stage) -> None:
    agent = stage.client.agent

    def talk() -> None:
        with blocking(stage.client) as threads:
            run = threads.create_and_run_poll(assistant_id=agent, thread={"messages": [user("one")]})
            thread = run.thread_id
            again = threads.runs.create_and_poll(
                thread_id=thread, assistant_id=agent, additional_messages=[user("two")]
            )
            assert (run.status, again.status) == ("completed", "completed")
            assert [one.id for one in threads.runs.list(thread, order="asc", limit=1)] == [run.id, again.id]
            assert said(threads, thread, run_id=again.id) == [("assistant", "two")]
            slow = threads.runs.create(thread, assistant_id=agent, additional_messages=[user("/slow 60")])
            assert threads.runs.cancel(slow.id, thread_id=thread).status == "cancelled"
            assert threads.runs.retrieve(slow.id, thread_id=thread).status == "cancelled"

    await asyncio.to_thread(talk)


async def test_a_handler_hears_a_run_from_its_making_to_its_end(stage: Stage) -> None:
    agent = stage.client.agent

    def talk() -> None:
        with blocking(stage.client) as threads:
            thread = threads.create(messages=[user("one two three")]).id
            for stream in (threads.runs.stream, threads.runs.create_and_stream):
                with stream(thread_id=thread, assistant_id=agent, event_handler=Ears()) as ears:
                    ears.until_done()
                    assert ears.get_final_run().status == "completed"
                assert (ears.events[0], ears.events[-1]) == ("thread.run.created", "thread.run.completed")
                assert (ears.ended, ears.done, "".join(ears.words)) == (1, [ears.done[0]], ears.done[0])
                threads.messages.create(thread, role="user", content="four")
            answers = [text for role, text in said(threads, thread) if role == "assistant"]
            assert answers == ["one two three", "four"]
            new = {"messages": [user("hello")]}
            with threads.create_and_run_stream(assistant_id=agent, thread=new, event_handler=Ears()) as ears:
                ears.until_done()
            assert (ears.events[0], ears.done) == ("thread.created", ["hello"])

    await asyncio.to_thread(talk)


async def test_what_a_run_asks_is_decided_by_polling_and_in_a_stream(stage: Stage) -> None:
    await stage.become("worker.runners.demo:approve")
    agent = stage.client.agent

    def talk() -> None:
        with blocking(stage.client) as threads:
            for way in ("poll", "stream"):
                thread = threads.create(messages=[user("water the plants")]).id
                run = threads.runs.create_and_poll(thread_id=thread, assistant_id=agent)
                (asked,) = run.required_action.submit_tool_outputs.tool_calls
                place = {"thread_id": thread, "run_id": run.id}
                given = [{"tool_call_id": asked.id, "output": "allow"}]
                if way == "poll":
                    done = threads.runs.submit_tool_outputs_and_poll(**place, tool_outputs=given)
                else:
                    stream = threads.runs.submit_tool_outputs_stream(**place, tool_outputs=given, event_handler=Ears())
                    with stream as ears:
                        done = ears.get_final_run()
                    assert ears.done == ["water the plants"]
                assert (done.status, said(threads, thread)[-1]) == ("completed", ("assistant", "water the plants"))

    await asyncio.to_thread(talk)
