"""The quick starts of OpenAI's clients in docs/dialects.md: their programs as they are printed, and what they show."""

import re
from pathlib import Path

from tests.service import Client

_PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
SHOWN = [
    "completed",
    "And as a stream?",
    "user: Hello, Threadmill!",
    "assistant: Hello, Threadmill!",
    "user: And as a stream?",
    "assistant: And as a stream?",
]


def program(language: str) -> str:
    """The page has one of each."""
    page = _PAGE.read_text(encoding="utf-8").split("### Quick start")[1].split("\n### ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found)


def told(client: Client) -> dict[str, str]:
    """What the programs read from their environment."""
    return {
        "THREADMILL_URL": client.url,
        "THREADMILL_TOKEN": client.token,
        "THREADMILL_AGENT": client.agent,
    }
