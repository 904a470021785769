"""What a client says of a file: its name, and what it claims to be. Neither is believed, both are kept as text.

Refused here: names that some reader would take for a path, a command of a terminal, or nothing at all.
"""

import re
import unicodedata

from shared.errors import InvalidRequest

LONGEST = 255  # characters of a name, and of a type
UNKNOWN = "application/octet-stream"
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
# Controls, directions and other marks that do not show, halves of characters, separators of lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_name(name: str) -> str:
    """The name, as it is. Raises InvalidRequest."""
    if not name.strip():
        raise InvalidRequest("file: the file has no name.", param="file")
    if len(name) > LONGEST:
        raise InvalidRequest(f"file: the name of the file is longer than {LONGEST} characters.", param="file")
    if "/" in name or "\\" in name or name in (".", ".."):
        raise InvalidRequest("file: the name of the file is a path; send its last part.", param="file")
    if any(unicodedata.category(char) in _HIDDEN for char in name):
        raise InvalidRequest("file: the name of the file holds characters that do not print.", param="file")
    return name


def type_of(given: str) -> str:
    """A type without its parameters, in lower case; what is none is unknown."""
    name = given.partition(";")[0].strip().lower()
    return name if len(name) <= LONGEST and _TYPE.fullmatch(name) else UNKNOWN
