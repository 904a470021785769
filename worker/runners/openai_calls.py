"""What becomes of a tool call: it is used, asked about, or told to be wrong or denied. Decided here, done elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic_core import to_json

from worker.runners.context import Decision, Verdict
from worker.runners.openai_stream import Call
from worker.runners.openai_text import cut
from worker.runners.openai_tools import Misread, Tool
from worker.runners.outputs import PermissionRequest

_TITLE = 200  # characters: what a person reads before the whole input


@dataclass(frozen=True, slots=True)
class Use:
    tool: Tool
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    request: PermissionRequest


@dataclass(frozen=True, slots=True)
class Unread:
    """The call is none of this tool, or of no tool at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Denied:
    text: str


Fate: TypeAlias = Use | Ask | Unread | Denied


def judge(call: Call, found: Mapping[str, Tool], decision: Decision | None) -> Fate:
    """A call that can't be read is not asked about: nobody could say what is allowed."""
    tool = found.get(call.name)
    if tool is None:
        return Unread(f"There is no tool {call.name}, only: {', '.join(sorted(found)) or 'none'}.")
    try:
        arguments = tool.read(call)
    except Misread as error:
        return Unread(str(error))
    if not tool.config.ask:
        return Use(tool, arguments)
    if decision is None:
        return Ask(_request(call, tool, arguments))
    return Use(tool, arguments) if decision.allowed else Denied(_denial(decision))


def _request(call: Call, tool: Tool, arguments: dict[str, Any]) -> PermissionRequest:
    """Its id is the call's, which is unique in the run and part of the checkpoint."""
    title = cut(f"{call.name} {to_json(arguments).decode()}", _TITLE)
    return PermissionRequest(call.id, title, tool=call.name, input=arguments, expires_in=tool.config.expires_in)


def _denial(decision: Decision) -> str:
    """For the model; nobody's answer is no refusal."""
    if decision.verdict is Verdict.EXPIRED:
        text = "Nobody answered in time whether this tool may be used. It was not used."
    else:
        text = "The user does not allow this use of the tool. It was not used."
    return f"{text} The user says: {decision.note}" if decision.note else text
