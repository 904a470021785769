"""What a client says of a file: its name, and what it claims to be. Neither is believed, both are kept as text.

Refused here: names that some reader would take for a path, a command of a terminal, or nothing at all.
"""

import re
import unicodedata
from mimetypes import MimeTypes

from shared.errors import InvalidRequest

LONGEST = 255  # characters of a name, and of a type
UNKNOWN = "application/octet-stream"
_BY_NAME = MimeTypes()  # Python's own table: a machine's would make a lost worker's file another one than the next's
_MORE = {  # what that table lacks, or has only since some version
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "md": "text/markdown",
    "log": "text/plain",
    "webp": "image/webp",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "ndjson": "application/x-ndjson",
}
for _ending, _known in _MORE.items():
    _BY_NAME.add_type(_known, f".{_ending}")
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


def type_by(name: str) -> str:
    """What the end of a name says, the same on every machine; unknown where it says nothing."""
    known, packed = _BY_NAME.guess_type(name)
    if packed is not None:  # of what is in there nothing can be said
        return "application/gzip" if packed == "gzip" else UNKNOWN
    return known or UNKNOWN


def type_of(given: str) -> str:
    """A type without its parameters, in lower case; what is none is unknown."""
    name = given.partition(";")[0].strip().lower()
    return name if len(name) <= LONGEST and _TYPE.fullmatch(name) else UNKNOWN
