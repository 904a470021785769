"""Logs: lines a person reads in a terminal, JSON lines elsewhere; on standard error, never a token or message text."""

import logging
import sys
import time
from typing import Any

import structlog

from shared.settings import Settings


def configure(settings: Settings) -> None:
    """Sets up structlog, and the standard library's loggers of aiohttp and arq behind it."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    people = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


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
