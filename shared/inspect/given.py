"""What somebody looks for, as text: bounded, and such as Postgres can keep.

Refused here: knowing what it is compared with.
"""

from shared.errors import InvalidRequest

LONGEST = 500  # characters; what is looked for by its text is a name, a kind of an error, a target of the log


def checked(name: str, text: str | None, longest: int = LONGEST) -> None:
    """Raises InvalidRequest, which names the parameter."""
    if text is None:
        return
    if len(text) > longest:
        raise InvalidRequest(f"`{name}` has {len(text):,} characters: {longest:,} at most.", param=name)
    if "\0" in text or not _is_unicode(text):
        raise InvalidRequest(f"`{name}` holds a character that can't be kept: NUL, or half of one.", param=name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: a byte of a command line that is not UTF-8
        return False
    return True
