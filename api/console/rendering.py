"""Templates, and how they say things. Whatever is shown is text: nothing here marks any as markup."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared import __version__, words

_SHOWN_JSON = 200_000  # characters of a document on a page


class Rendering:
    def __init__(self, address: Callable[[str], str]) -> None:
        """`address` is where a static file is found."""
        self._env = Environment(
            loader=PackageLoader("api.console"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._env.globals |= {"static": address, "version": __version__, "run_kind": _run_kind}
        self._env.filters |= {
            "age": words.age,
            "moment": words.moment,
            "iso": _iso,
            "short": words.short,
            "events": words.events,
            "number": _number,
            "size": words.size,
            "pretty": _pretty,
            "clock": words.clock,
            "took": words.took,
        }

    def page(self, names: list[str], values: Mapping[str, Any]) -> str:
        """The first template that there is."""
        return self._env.select_template(names).render(values)

    def part(self, name: str, values: Mapping[str, Any]) -> Markup:
        """A piece of a page, made from a template: markup already."""
        return Markup(self._env.get_template(name).render(values))  # noqa: S704 - its values were escaped when it was made


def _shown(value: Any) -> Any:
    """Text with nothing in it that can't be seen, whoever wrote it: not even a direction. Markup is made of such."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _iso(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _run_kind(status: str) -> str:
    """The colour of a run's status."""
    kinds = {"running": "note", "booting": "note", "waiting_input": "warn", "completed": "good", "failed": "bad"}
    return kinds.get(status, "bad" if status == "expired" else "plain")


def _number(value: float | None) -> str:
    """With thousands apart; nothing for None."""
    return "" if value is None else f"{value:,}"


def _pretty(value: Any) -> str:
    """A document, indented."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_JSON else f"{text[:_SHOWN_JSON]}\n…"
