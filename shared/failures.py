"""What is kept of an error that a batch failed with: where it was raised, and what it has in common with like ones.

Pure. A kind is for an operator's eyes: an error that is nothing but what somebody sent has that for its kind. A log has
the mark of a kind instead. Refused here: the text of an error within its stack; it may quote what somebody sent.
"""

import hashlib
import re
import traceback

STACK_LIMIT = 8_192  # characters: some eighty frames, the innermost are kept
KIND_LIMIT = 200  # characters
UNKNOWN = "(no error)"

_READ = 2_000  # characters of an error that are looked at
_REPR = re.compile(r"(?P<type>[A-Za-z_][\w.]*)\((?P<rest>.*)\Z", re.DOTALL)
_TEXT = re.compile(
    r"""(?P<quote>['"])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P<end>(?P=quote)\)\Z|\\?\Z)?""", re.DOTALL
)
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,79}(?=:|\Z)", re.ASCII)
_DIGEST = 8  # characters of it: a few hundred kinds at most are told apart
_ESCAPED = {"\\n": "\n", "\\t": "\t", "\\'": "'", '\\"': '"', "\\\\": "\\"}
_ESCAPE = re.compile(r"\\[nt'\"\\]")
# A quote begins behind what is no word and ends before what is none. What is quoted may hold quotes and apostrophes
# itself: it goes from the first beginning to the last end, and to the end of all where a quote is left open.
_OPENING = re.compile(r"""(?<!\w)['"`]""")
_CLOSING = re.compile(r"""['"`](?!\w)""")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_ULID = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\b")
_HEX = re.compile(r"\b(?:0x[0-9a-fA-F]+|(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,})\b")
_NUMBER = re.compile(r"(?<![A-Za-z_\d])[-+]?\d+(?:[.,:]\d+)*")


def kind_of(error: str | None) -> str:
    """The first line of an error without what differs between two of a kind: ids, numbers, quoted parts."""
    line = _first_line(_unquoted(_said(error or "")))
    for pattern, instead in ((_UUID, "#"), (_ULID, "#"), (_HEX, "#"), (_NUMBER, "#")):
        line = pattern.sub(instead, line)
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return plain[:KIND_LIMIT].strip() or UNKNOWN


def mark_of(kind: str) -> str:
    """A kind as a log may have it: the type of the error and a digest, by which the kind is found among the others."""
    named = _TYPE.match(kind)
    digest = hashlib.sha256(kind.encode()).hexdigest()[:_DIGEST]
    return f"{named[0]} {digest}" if named else digest


def stack_of(error: BaseException) -> str | None:
    """Where the error was raised, and where those that it came of: types, files, lines and their code. None where
    nothing is known of it."""
    parts: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = "".join(traceback.format_list(traceback.extract_tb(one.__traceback__, limit=-100)))
        parts.append(f"{frames}{type(one).__module__}.{type(one).__qualname__}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    text = "\n\nled to\n\n".join(reversed(parts))
    if '  File "' not in text:
        return None
    return text if len(text) <= STACK_LIMIT else "…" + text[-STACK_LIMIT + 1 :]


def _said(error: str) -> str:
    """An error as it is stored (`repr`), as its type and what it says. The type alone where it says no one text, or the
    key that was missing."""
    found = _REPR.match(error[:_READ])
    if found is None:
        return error[:_READ]
    text = _TEXT.match(found["rest"])
    if text is None or text["end"] is None or found["type"].endswith("KeyError"):
        return found["type"]
    return f"{found['type']}: {_ESCAPE.sub(lambda escape: _ESCAPED[escape[0]], text['text'])}"


def _unquoted(text: str) -> str:
    """Without its quoted parts, from the first quote to the last one."""
    first = _OPENING.search(text)
    if first is None:
        return text
    last = max((end.end() for end in _CLOSING.finditer(text, first.end())), default=0)
    whole = last > 0 and len(text) < _READ and not text[last - 2].isspace() and not _OPENING.search(text, last)
    return f"{text[: first.start()]}'…'{text[last:] if whole else ''}"


def _first_line(text: str) -> str:
    return " ".join(next((line for line in text.splitlines() if line.strip()), "").split())
