"""What is kept of an error that a batch failed with: where it was raised, and what it has in common with like ones.

Pure. Refused here: the text of an error within its stack; it may quote what somebody sent.
"""

import re
import traceback

STACK_LIMIT = 8_192  # characters: some eighty frames, the innermost are kept
KIND_LIMIT = 200  # characters
UNKNOWN = "(no error)"

_READ = 2_000  # characters of an error's first line that are looked at
_REPR = re.compile(r"(?P<type>[A-Za-z_][\w.]*)\((?P<rest>.*)\Z", re.DOTALL)
_ESCAPED = {"\\n": "\n", "\\t": "\t", "\\'": "'", '\\"': '"', "\\\\": "\\"}
_ESCAPE = re.compile(r"\\[nt'\"\\]")
# Quoted parts, but no apostrophes: a quote begins behind what is no word and ends before what is none.
_QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_ULID = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\b")
_HEX = re.compile(r"\b(?:0x[0-9a-fA-F]+|(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,})\b")
_NUMBER = re.compile(r"(?<![A-Za-z_\d])[-+]?\d+(?:[.,:]\d+)*")


def kind_of(error: str | None) -> str:
    """The first line of an error without what differs between two of a kind: ids, numbers, quoted parts."""
    line = _first_line(_said(error or ""))
    for pattern, instead in ((_QUOTED, "'…'"), (_UUID, "#"), (_ULID, "#"), (_HEX, "#"), (_NUMBER, "#")):
        line = pattern.sub(instead, line)
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return plain[:KIND_LIMIT].strip() or UNKNOWN


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
    """An error as it is stored (`repr`), as its type and what it says."""
    found = _REPR.match(error[:_READ])
    if found is None:
        return error[:_READ]
    rest = found["rest"]
    if rest[:1] not in {"'", '"'}:
        return f"{found['type']}: {rest.removesuffix(')')}".removesuffix(": ")
    inner = rest[1:].removesuffix(")")
    end = inner.rfind(rest[0])
    text = inner if end < 0 else inner[:end]
    return f"{found['type']}: {_ESCAPE.sub(lambda escape: _ESCAPED[escape[0]], text)}"


def _first_line(text: str) -> str:
    return " ".join(next((line for line in text.splitlines() if line.strip()), "").split())
