"""The runner `openai`: a model behind any endpoint that speaks OpenAI's chat completions, streamed, with tools.

A turn of the model, then the tools that it wants, then the next turn, until one wants none. After each tool there is
a checkpoint, so that a run which goes on elsewhere uses none twice, but for the one that was under way: it gets the
same idempotency key. See docs/runners-openai.md. Refused here: keys in a configuration, and tools that do not wait.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import SecretStr, ValidationError

from worker.runners import openai_tools as tools
from worker.runners.context import Context
from worker.runners.failing import RunnerError
from worker.runners.openai_calls import Ask, Denied, Unread, Use, judge
from worker.runners.openai_config import OpenAIConfig
from worker.runners.openai_conversation import Conversation
from worker.runners.openai_endpoint import Endpoint, connect
from worker.runners.openai_files import with_files
from worker.runners.openai_stream import Turn
from worker.runners.outputs import (
    Checkpoint,
    Custom,
    MessageEnd,
    Output,
    PermissionRequest,
    ToolCompleted,
    ToolStarted,
)
from worker.runners.protocol import Runner
from worker.runners.registry import ConfigError, Surroundings, explain


def check(config: Mapping[str, Any]) -> OpenAIConfig:
    """Raises ConfigError. Neither looks for the key nor imports a tool: an operator's machine need not have them."""
    try:
        return OpenAIConfig.model_validate(config)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None  # pydantic's own text repeats the input


def open_runner(config: Mapping[str, Any], surroundings: Surroundings) -> Runner:
    """Raises ConfigError; RunnerError where the key's variable or a tool is not there on this worker."""
    checked = check(config)
    key = _find_key(checked.api_key_env, surroundings.environment)
    return OpenAIRunner(checked, key, tools.load(checked.tools), private=surroundings.private_endpoints)


def _find_key(name: str | None, environment: Mapping[str, str]) -> SecretStr | None:
    if name is None:
        return None
    key = SecretStr(environment.get(name, "").strip())  # at once: logs may show what a frame held when it raised
    if not key:
        raise RunnerError(f"The variable {name} is not set on this worker.", code="runner.misconfigured")
    if not re.fullmatch("[!-~]+", key.get_secret_value()):
        raise RunnerError(f"The variable {name} holds what is no key.", code="runner.misconfigured")
    return key


class OpenAIRunner:
    """Holds nothing of a run: any number of them may be under way."""

    def __init__(
        self, config: OpenAIConfig, key: SecretStr | None, found: Mapping[str, tools.Tool], *, private: bool
    ) -> None:
        self._config = config
        self._key = key
        self._tools = found
        self._private = private

    async def __call__(self, ctx: Context, /) -> AsyncGenerator[Output]:
        conversation = await self._begin(ctx)
        answered = False
        async with connect(self._config, self._key, private=self._private) as endpoint:
            while True:
                async with aclosing(self._use_tools(ctx, conversation)) as outputs:
                    async for output in outputs:
                        yield output
                if conversation.waiting():
                    return  # for its permissions
                if _take_steering(ctx, conversation):
                    yield Checkpoint(conversation.state())  # a message counts as taken with the state that has it
                elif answered:
                    return
                async with aclosing(self._turn(endpoint, ctx, conversation)) as outputs:
                    async for output in outputs:
                        yield output
                answered = not conversation.waiting()

    async def _begin(self, ctx: Context) -> Conversation:
        if ctx.state is not None:
            return Conversation.load(ctx.state)
        history = await ctx.history(self._config.history) if self._config.history else ()
        return Conversation.begin(history, ctx.messages)

    async def _turn(self, endpoint: Endpoint, ctx: Context, conversation: Conversation) -> AsyncGenerator[Output]:
        """One answer of the model; a checkpoint behind it where it wants tools. Raises RunnerError."""
        turn, messages = Turn(), await with_files(conversation.messages, ctx.files, self._config)
        async with aclosing(endpoint.stream(messages, turn)) as outputs:
            async for output in outputs:
                yield output
        if turn.text:
            yield MessageEnd()
        if turn.usage is not None:
            yield turn.usage
        if turn.finish == "length":
            yield Custom("truncated", {"reason": "length"})
        _refuse_unfinished(turn)
        conversation.add(turn)
        if conversation.rounds > self._config.max_turns:
            raise RunnerError(
                f"The model asked for tools in more than {self._config.max_turns} turns.", code="runner.too_many_turns"
            )
        if turn.calls:
            yield Checkpoint(conversation.state())

    async def _use_tools(self, ctx: Context, conversation: Conversation) -> AsyncGenerator[Output]:
        """Settles the calls that wait, in their order; then asks at once for all that need a permission."""
        questions: list[PermissionRequest] = []
        for call in conversation.waiting():
            match judge(call, self._tools, ctx.decisions.get(call.id)):
                case Ask(request):
                    questions.append(request)
                    continue
                case Use(tool, arguments):
                    yield ToolStarted(call.id, call.name, arguments)
                    answer = await tool.use(arguments, ctx.key(call.id))
                    conversation.answer(call, answer.text)
                    yield ToolCompleted(call.id, answer.text, answer.error)
                case Unread(text):
                    conversation.answer(call, text)
                    conversation.forget_arguments(call)
                    yield ToolStarted(call.id, call.name)
                    yield ToolCompleted(call.id, text, error=True)
                case Denied(text):
                    conversation.answer(call, text)
            yield Checkpoint(conversation.state())
        for question in questions:
            yield question


def _take_steering(ctx: Context, conversation: Conversation) -> bool:
    """Messages that arrived by now; whether there were any."""
    before = len(conversation.messages)
    while (message := ctx.steer.take_nowait()) is not None:
        conversation.add_user(message)
    return len(conversation.messages) > before


def _refuse_unfinished(turn: Turn) -> None:
    """A text that was cut off stands as it is; a tool call is not guessed at. Raises RunnerError."""
    if turn.finish == "content_filter":
        raise RunnerError("The endpoint's content filter ended the answer.", code="runner.content_filter")
    if turn.finish == "length" and turn.calls:
        raise RunnerError("The answer's limit of tokens cut a tool call off.", code="runner.length")
