"""Compares real answers with written ones, in which `<time>` and `<name>` stand for what differs each time."""

import re
from typing import Any

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
_HOLE = re.compile(r"<(\w+)>")


def differences(given: Any, wanted: Any, names: dict[str, str], place: str = "") -> list[str]:
    """Where `given` is not as `wanted`. `<name>` takes any id the first time, and the same one from then on."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        found = [f"{place}: keys {sorted(given)} for {sorted(wanted)}"] if set(given) != set(wanted) else []
        shared = [key for key in wanted if key in given]
        return found + [
            line for key in shared for line in differences(given[key], wanted[key], names, f"{place}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        pairs = enumerate(zip(given, wanted, strict=True))
        return [line for n, (a, b) in pairs for line in differences(a, b, names, f"{place}.{n}")]
    same = _fits(given, wanted, names) if isinstance(wanted, str) else given == wanted
    return [] if same else [f"{place}: {given!r} for {wanted!r}"]


def _fits(given: Any, wanted: str, names: dict[str, str]) -> bool:
    if not isinstance(given, str):
        return False
    if wanted == "<time>":
        return TIME.match(given) is not None
    hole = _HOLE.search(wanted)
    if hole is None:
        return given == wanted
    before, after = wanted[: hole.start()], wanted[hole.end() :]
    found = given[len(before) : len(given) - len(after)]
    return (
        given == before + found + after and ULID.match(found) is not None and names.setdefault(hole[1], found) == found
    )


def uncovered(given: Any, page: Any, place: str = "") -> list[str]:
    """Fields of a published page's answer that a real one lacks, or has of another kind."""
    if isinstance(page, dict):
        if not isinstance(given, dict):
            return [f"{place}: {given!r} for an object"]
        missing = [f"{place}.{key} is missing" for key in page if key not in given]
        return missing + [
            line for key in page if key in given for line in uncovered(given[key], page[key], f"{place}.{key}")
        ]
    if isinstance(page, list):
        if not isinstance(given, list):
            return [f"{place}: {given!r} for a list"]
        return [line for n, item in enumerate(given) for line in uncovered(item, page[0], f"{place}.{n}")]
    if given is None or (isinstance(given, str) and _same_kind(given, page)):
        return []
    return [f"{place}: {given!r} for {page!r}"]


def _same_kind(given: str, page: str) -> bool:
    return not page.startswith("2023-") or TIME.match(given) is not None
