"""Loads the statements of `sql/<noun>.sql`: `-- name: <name>`, a line of purpose, the statement.

`statements("batches")["accept"]` is the text. A name that stands twice, or a file without one, is refused at
import time.
"""

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(noun: str, package: str = "shared.db") -> MappingProxyType[str, str]:
    """The statements about one noun, by name. The bench has a folder of its own beside its programs."""
    text = (files(package) / "sql" / f"{noun}.sql").read_text(encoding="utf-8")
    _, *pieces = _NAME.split(text)
    names, bodies = pieces[::2], pieces[1::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"sql/{noun}.sql: no statement, or a name twice")
    return MappingProxyType({name: body.strip() for name, body in zip(names, bodies, strict=True)})
