"""What a step starts from, and what it comes to. Tuples, because every batch makes some (see `shared.models.Run`)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from shared.effects import Effect, Result
from shared.ids import AgentId, MessageId, RequestId, RunId
from shared.models import BusyPolicy, PermissionRequest, Run, Steer, Thread


class Note(NamedTuple):
    """What is kept with a message or a thread."""

    metadata: Mapping[str, str]
    run: RunId | None = None  # that said the message, or answers it
    waits: int = 0  # its bytes, where it waits for a run


class Waiting(NamedTuple):
    """Users' messages that no run has answered, and their bytes."""

    messages: int
    size: int


class State(NamedTuple):
    """One thread, and as much of its runs as the events need (`needed_runs` and `names` say how much)."""

    thread: Thread
    policy: BusyPolicy  # the agent's policy for a busy thread
    queue: tuple[Run, ...]  # runs that are not terminal, by seq: all of them or the first ones
    others: Mapping[RunId, Run]  # further runs that the events name, in any status
    requests: Mapping[RequestId, PermissionRequest]  # open ones of `queue`, and those that the events name
    seen: Mapping[str, RunId]  # clientRequestIds used before in this thread -> their first run
    steers: tuple[Steer, ...]  # unsettled ones
    notes: Mapping[MessageId | None, Note] = MappingProxyType({})  # of messages that edits name; None: the thread's own
    waiting: Waiting = Waiting(0, 0)  # where messages are added that wait for a run
    fallback: AgentId | None = None  # who answers the first run of a thread that has no agent


class Step(NamedTuple):
    state: State
    effects: tuple[Effect, ...]  # in the order of what happened
    result: Result
