"""The functions on the worker that a model may call: found, given what the model wrote, bounded in time and words.

A tool that fails is told to the model and fails no run. Refused here: arguments that the tool's schema does not name.
Types within the schema are the function's own to check.
"""

import asyncio
import inspect
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from worker.runners.failing import RunnerError
from worker.runners.functions import find
from worker.runners.openai_config import ToolConfig
from worker.runners.openai_stream import Call
from worker.runners.openai_text import clean, clean_value, cut, quote

ANSWER = 64 * 1024  # characters of a tool's answer that the model gets: a checkpoint holds several
_ARGUMENTS = 256 * 1024  # characters


class Misread(ValueError):
    """What the model wrote is no call of this tool; the text is for the model."""


class Answer(NamedTuple):
    text: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    config: ToolConfig
    function: Callable[..., Awaitable[Any]]
    takes_key: bool

    def read(self, call: Call) -> dict[str, Any]:
        """The arguments of a call. Raises Misread."""
        arguments = read_arguments(call.arguments)
        schema = self.config.parameters
        unknown = arguments.keys() - schema.get("properties", {}).keys()
        if schema.get("additionalProperties"):
            unknown &= {"key"}  # is never the model's to choose
        if unknown:
            raise Misread(f"{self.config.name} takes no argument {min(unknown)!r}.")
        try:
            inspect.signature(self.function).bind(**arguments, **({"key": ""} if self.takes_key else {}))
        except TypeError as error:
            raise Misread(f"{self.config.name}: {error}.") from error
        return arguments

    async def use(self, arguments: Mapping[str, Any], key: str) -> Answer:
        """Calls the function, for `timeout` seconds at most."""
        given = {**arguments, **({"key": key} if self.takes_key else {})}
        try:
            async with asyncio.timeout(self.config.timeout):
                value = await self.function(**given)
            return Answer(cut(clean(_told(value)), ANSWER))
        except TimeoutError:
            return Answer(f"The tool gave no answer within {self.config.timeout:g} seconds.", error=True)
        except Exception as error:  # an author's function may raise anything; the model is told, the run goes on
            return Answer(f"The tool failed: {type(error).__name__}: {quote(str(error))}", error=True)


def load(tools: Sequence[ToolConfig]) -> dict[str, Tool]:
    """By their names. Raises RunnerError where this worker has not got one."""
    return {config.name: _find(config) for config in tools}


def read_arguments(text: str) -> dict[str, Any]:
    """A JSON object, fit to be stored. Raises Misread."""
    if len(text) > _ARGUMENTS:
        raise Misread(f"The arguments are longer than {_ARGUMENTS} characters.")
    try:
        value = clean_value(json.loads(text, parse_constant=_refuse_constant, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        raise Misread(f"The arguments are no JSON: {quote(str(error))}.") from error
    if not isinstance(value, dict):
        raise Misread("The arguments must be a JSON object.")
    return value


def _find(config: ToolConfig) -> Tool:
    found = find(config.function, f"The tool {config.name}: {config.function!r}")
    if not inspect.iscoroutinefunction(found):
        raise RunnerError(
            f"The tool {config.name}: {config.function!r} is no `async def` function.", code="runner.unavailable"
        )
    return Tool(config, found, "key" in inspect.signature(found).parameters)


def _told(value: Any) -> str:
    """Text as it is, nothing as nothing, else JSON. Raises what can't be written as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return to_json(value).decode()
    except PydanticSerializationError as error:
        raise TypeError(f"it returned {type(value).__name__}, which is no JSON value") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value
