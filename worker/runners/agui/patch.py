"""JSON Patch (RFC 6902) on a document that is ours to change, with a bound on the work of one patch.

A patch that is refused leaves the document half changed: whoever meets that gives the document up.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

WORK = 2 << 20  # what the values that one patch moves, copies and compares may weigh together: some 50 ms
DEPTH = 128  # levels of a document: twice an event's, and few enough for whoever writes it as JSON
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_NODE = 20  # what a value weighs beside its characters: a number has up to 20, with its comma

# A pointer begins with nothing before its first slash: that names the document itself, in here.
_Holder = dict[str, Any]


class PatchRefused(ValueError):
    """The patch does not fit the document, or is too much work."""


def weigh(value: Any, limit: int, depth: int = 0) -> int:
    """About how many bytes a JSON value is as text. Raises PatchRefused over `limit`, or beyond `DEPTH`."""
    if depth > DEPTH:
        raise PatchRefused(f"nested deeper than {DEPTH} levels")
    weight = _NODE
    if isinstance(value, str):
        weight += len(value) if value.isascii() else len(value.encode())
    elif isinstance(value, dict):
        for key, item in value.items():
            weight += len(key) + weigh(item, limit - weight, depth + 1)
    elif isinstance(value, list):
        for item in value:
            weight += weigh(item, limit - weight, depth + 1)
    if weight > limit:
        raise PatchRefused("too large")
    return weight


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `origin` is its `from`, where it has one."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    origin: str = ""
    value: Any = None


def apply(document: Any, patch: Iterable[Operation]) -> tuple[Any, int]:
    """The document with all operations applied, and what their values weigh. Raises PatchRefused."""
    holder: _Holder = {"": document}
    spent = 0
    for operation in patch:
        spent += _OPERATIONS[operation.op](holder, operation, WORK - spent)
    return holder[""], spent


def _add(holder: _Holder, operation: Operation, left: int) -> int:
    path = _tokens(operation.path)
    weight = weigh(operation.value, left, len(path) - 1)
    _put(holder, path, operation.value)
    return weight


def _replace(holder: _Holder, operation: Operation, left: int) -> int:
    path = _tokens(operation.path)
    weight = weigh(operation.value, left, len(path) - 1)
    parent, key = _place(holder, path)
    parent[key] = operation.value
    return weight


def _remove(holder: _Holder, operation: Operation, left: int) -> int:
    if not operation.path:
        raise PatchRefused("the whole document can't be removed")
    parent, key = _place(holder, _tokens(operation.path))
    del parent[key]
    return min(_NODE, left)


def _copy(holder: _Holder, operation: Operation, left: int) -> int:
    path = _tokens(operation.path)
    value = _get(holder, _tokens(operation.origin))
    weight = weigh(value, left, len(path) - 1)
    _put(holder, path, _copied(value))
    return weight


def _move(holder: _Holder, operation: Operation, left: int) -> int:
    if operation.path.startswith(f"{operation.origin}/"):
        raise PatchRefused("move: a value can't go into itself")
    path, origin = _tokens(operation.path), _tokens(operation.origin)
    value = _get(holder, origin)
    weight = weigh(value, left, len(path) - 1)
    if path != origin:
        parent, key = _place(holder, origin)
        del parent[key]
        _put(holder, path, value)
    return weight


def _test(holder: _Holder, operation: Operation, left: int) -> int:
    weight = weigh(operation.value, left)
    if not _same(_get(holder, _tokens(operation.path)), operation.value):
        raise PatchRefused("test: the value is another one")
    return weight


_OPERATIONS: Mapping[str, Callable[[_Holder, Operation, int], int]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _get(node: Any, tokens: Iterable[str]) -> Any:
    for token in tokens:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list):
            node = node[_index(token, len(node) - 1)]
        else:
            raise PatchRefused(f"there is no {token[:40]!r}")
    return node


def _place(holder: _Holder, path: list[str]) -> tuple[Any, str | int]:
    """The object or array that holds what is at `path`, and where in it."""
    parent, last = _get(holder, path[:-1]), path[-1]
    _get(parent, [last])
    return parent, int(last) if isinstance(parent, list) else last


def _put(holder: _Holder, path: list[str], value: Any) -> None:
    parent, last = _get(holder, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise PatchRefused(f"there is no place for {last[:40]!r}")


def _index(token: str, greatest: int) -> int:
    if not _INDEX.fullmatch(token) or int(token) > greatest:
        raise PatchRefused(f"there is no place {token[:40]!r} in the array")
    return int(token)


def _same(one: Any, other: Any) -> bool:
    """As JSON says: true is not 1, 1.0 is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
