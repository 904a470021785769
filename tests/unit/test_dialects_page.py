"""docs/dialects.md says what the other dialects do: every route and limit of the code stands in it."""

import re
from pathlib import Path
from typing import Any

import pytest

from api import routes
from api.dialects.openai import encode, models

PAGE = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
OPENAI = " ".join(PAGE.split("\n## AIML / OpenAI")[1].split("\n## ")[0].split())


class Anything:
    """Stands for handlers, of which only the addresses matter."""

    def __getattr__(self, name: str) -> Any:
        return self


def test_every_route_stands_on_the_page_and_no_other() -> None:
    handlers: Any = Anything()
    defined = routes.openai_routes(handlers, handlers, handlers)
    paths = ((route.method, re.sub(r"{(\w+):[^ ]*}", r"{\1}", route.path)) for route in defined)  # without conditions
    served = {f"{method} {path}" for method, path in paths}
    assert set(re.findall(r"\| `([A-Z]+ /\S+)` \|", OPENAI)) == served


@pytest.mark.parametrize(
    "text",
    [
        f"at most {models.PAIRS} pairs, of keys up to {models.KEY_LIMIT} characters",
        f"texts up to {models.VALUE_LIMIT}.",
        f"at most {models.TEXT_LIMIT:,} bytes",
        f"`messages` ({models.MESSAGES_LIMIT} at most)",
        f"`additional_messages` ({models.MESSAGES_LIMIT} at most)",
        f"`{encode.PERMISSION}`",
    ],
)
def test_every_limit_stands_on_the_page(text: str) -> None:
    assert text in OPENAI
