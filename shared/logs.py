"""Logs: lines a person reads in a terminal, JSON lines elsewhere; on standard error, one at a time.

What the standard library's loggers say (aiohttp, arq, asyncio, warnings, an exception that nobody caught) becomes a
line like any other. Lines carry the ids of what they are about: whoever begins a request, a batch or a run says so with
`begin`, whoever learns more with `about`. Refused: tokens and message texts; `tracebacks` and `masks` see to it.
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.masks import masked_value
from shared.settings import Settings
from shared.tracebacks import frames, kind

_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)  # those that structlog knows
_TASK = re.compile(r"\bname='([^']*)'")

# One mapping for all that is said in a task and those it starts, filled as more becomes known.
_ids: ContextVar[dict[str, Any] | None] = ContextVar("ids", default=None)


# Of the trace that a line belongs to: `shared.traces` says how, where there are any.
_trace_ids: Callable[[], dict[str, str]] | None = None


def add_ids(trace_ids: Callable[[], dict[str, str]]) -> None:
    """Lines carry the ids of their trace from now on."""
    global _trace_ids  # noqa: PLW0603 - one process has one way to say its lines
    _trace_ids = trace_ids


def begin(**ids: Any) -> None:
    """From here on, in this task, lines are about something else: these ids."""
    _ids.set(ids)


def about(**ids: Any) -> None:
    """Lines of what was begun carry these ids, too."""
    if (known := _ids.get()) is not None:
        known.update(ids)


def known_ids() -> dict[str, Any]:
    """What lines carry that are said here."""
    return dict(_ids.get() or {})


def configure(settings: Settings) -> None:
    """Sets up structlog, and the standard library's loggers before it."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    people = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=processors(people=people, verbose=level <= logging.DEBUG),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # From warnings on; it does nothing where a program, or a test, has handlers of its own.
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Foreign()])


def take_over() -> None:
    """For a process of the service: what others would print between our lines comes to us. arq's own handler (its
    command line has one), warnings, and last words.
    """
    logging.getLogger("arq").handlers.clear()
    logging.captureWarnings(capture=True)
    sys.excepthook = _last_words
    threading.excepthook = lambda told: _last_words(told.exc_type, told.exc_value, told.exc_traceback)


def processors(*, people: bool, verbose: bool) -> list[Processor]:
    """What a line goes through, in this order. `verbose`: exceptions may quote what they are about."""

    def show_errors(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        raised = _exception(line.pop("exc_info", None))
        if raised is not None:
            line["exception"] = frames(raised, verbose=verbose)
        for name, value in line.items():
            if isinstance(value, BaseException):
                line[name] = kind(value, verbose=verbose)
        return line

    return [
        _merge_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        show_errors,
        _mask,
        structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
    ]


def _merge_ids(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    known = _ids.get()
    if _trace_ids is not None:
        line = {**_trace_ids(), **line}
    return {**known, **line} if known else line


def _mask(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {name: masked_value(value) for name, value in line.items()}


def _exception(info: Any) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


class _Foreign(logging.Handler):
    """The lines of the standard library's loggers, said by ours: `logger` is who said it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # it does not fit its arguments; what it was about is known still
            text = str(record.msg)
        more: dict[str, Any] = {"logger": record.name}
        if record.name == "asyncio":  # behind its first line stand objects as they print themselves, texts among them
            task = _TASK.search(text)
            text, more = text.split("\n", 1)[0], more | ({"task": task[1]} if task else {})
        level = next(level for level in _LEVELS if level <= record.levelno or level == logging.DEBUG)
        structlog.get_logger().log(level, text, exc_info=record.exc_info, **more)


def _last_words(kind_: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    """An exception that nobody caught ends the process, or a thread."""
    if issubclass(kind_, KeyboardInterrupt):
        sys.__excepthook__(kind_, error or kind_(), traceback)
        return
    if not issubclass(kind_, SystemExit):
        structlog.get_logger().critical("nobody caught this", exc_info=error or kind_())


class Seldom:
    """A warning that would be said again and again while something is away: said at most once in `every` seconds."""

    def __init__(self, log: Any, every: float = 5.0) -> None:
        self._log = log
        self._every = every
        self._said = float("-inf")
        self._kept = 0

    def __call__(self, event: str, **fields: Any) -> None:
        """`unsaid` counts the times since it was said last."""
        now = time.monotonic()
        if now - self._said < self._every:
            self._kept += 1
            return
        self._log.warning(event, unsaid=self._kept, **fields)
        self._said, self._kept = now, 0
