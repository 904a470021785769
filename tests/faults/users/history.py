"""What all users know when they are done: the history that the checker compares with the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.executions.phases import Stop
from tests.faults.executions.readers import Copy
from tests.faults.history import Request
from tests.faults.users.calls import Call

Lines = Sequence[tuple[str, str]]  # role, text


@dataclass(frozen=True, slots=True)
class History:
    """`agents`: thread -> the agent that answers there; `lists`: what each dialect lists of one."""

    calls: Sequence[Call] = ()
    requests: Sequence[Request] = ()
    stops: Sequence[Stop] = ()
    copies: Sequence[Copy] = ()
    agents: Mapping[str, str] | None = None
    lists: Sequence[tuple[str, str, Lines]] = ()  # dialect, thread, its messages
