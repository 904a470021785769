"""An agent's configuration as its author writes it: a YAML or JSON object.

YAML's safe subset only. Refused: more than one document, a key twice, an alias (a short text could stand for a huge
value), a value that JSON has no word for.
"""

import json
from collections.abc import Hashable
from typing import Any

import yaml

from worker.runners.registry import ConfigError
from worker.runners.storable import DEPTH, too_deep

_DATE = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Dates stay text, as they would in JSON."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise yaml.composer.ComposerError(None, None, "an alias: write the value out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != _DATE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, name: str) -> dict[str, Any]:
    """The object that a text holds. Raises ConfigError: one line, with `name` and the number of the line."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader of ours
    except yaml.YAMLError as error:
        raise ConfigError(_where(error, name)) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{name}: can't be read: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{name}:1: must hold an object: `key: value` lines, or JSON")
    return _plain(value, name)


def _plain(value: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: JSON can't hold it: {error}") from error
    if not same:
        raise ConfigError(f"{name}: keys must be text: put them in quotes")
    if too_deep(value):
        raise ConfigError(f"{name}: must be nested at most {DEPTH} levels deep")
    return value


def _where(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())
    return f"{name}:{mark.line + 1}: {problem}" if mark is not None else f"{name}: {problem}"
