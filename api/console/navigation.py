"""The console's sections, in the order in which they are shown. A section without a page yet is left out."""

from collections.abc import Collection
from typing import NamedTuple


class Section(NamedTuple):
    title: str
    path: str


SECTIONS = (
    Section("Overview", "/console"),
    Section("Queue", "/console/queue"),
    Section("Dead letters", "/console/dead"),
    Section("Threads", "/console/threads"),
    Section("Runs", "/console/runs"),
    Section("Files", "/console/files"),
    Section("Workers", "/console/workers"),
    Section("Webhooks", "/console/webhooks"),
    Section("Agents", "/console/agents"),
    Section("Tokens", "/console/tokens"),
    Section("Audit log", "/console/audit"),
    Section("Playground", "/console/playground"),
)


def served(paths: Collection[str]) -> tuple[Section, ...]:
    """Those that have a page."""
    return tuple(section for section in SECTIONS if section.path in paths)


def current(sections: Collection[Section], path: str) -> Section | None:
    """The section that a path belongs to."""
    return next((one for one in sections if one.path == path), None) or next(
        (one for one in sections if one.path != "/console" and path.startswith(f"{one.path}/")), None
    )
