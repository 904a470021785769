"""Lists by the page: each page begins behind the last row of the one before, by key, wherever in the list it lies.

A cursor is opaque to who sends it back: the key of the last row, as url-safe text. Refused here: counting what is left,
and skipping rows by their number.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from shared import ids
from shared.errors import InvalidRequest
from shared.ids import Ulid

T = TypeVar("T")

LONGEST = 1_000  # characters of a cursor: keys are a few ids, numbers and times
FIRST, LAST = Ulid("0" * 26), Ulid("7" + "Z" * 25)  # of all ids
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # before every row
END = datetime(9000, 1, 1, tzinfo=UTC)  # beyond every row, and whatever its zone within what Postgres keeps


def _id(text: str) -> Ulid:
    found = ids.parse(text)
    if found is None:
        raise ValueError("not an id")
    return found


# What keys are made of, each within what its column can hold: a cursor may come from anybody.
Number = Annotated[int, Field(ge=0, lt=1 << 63)]
Small = Annotated[int, Field(ge=0, lt=1 << 15)]  # a partition
Id = Annotated[str, AfterValidator(_id)]
Moment = Annotated[AwareDatetime, Field(ge=EPOCH, le=END)]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`after`: what to ask for the next page with; None where this is the last one."""

    items: list[T]
    after: str | None


def cut(rows: Sequence[T], limit: int, key: Callable[[T], tuple[str | int | datetime | None, ...]]) -> Page[T]:
    """The page of `rows`, which were read up to one more than `limit`."""
    items = list(rows[:limit])
    return Page(items, cursor(*key(items[-1])) if len(rows) > limit else None)


def cursor(*key: str | int | datetime | None) -> str:
    """A key as text."""
    return base64.urlsafe_b64encode(to_json(key)).decode().rstrip("=")


def key_of(text: str | None, *kinds: Any) -> tuple[Any, ...]:
    """The key that a cursor spells, of these types; of None a None for each. Raises InvalidRequest."""
    if text is None:
        return (None,) * len(kinds)
    try:
        padded = text + "=" * (-len(text) % 4)
        document = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        if len(text) > LONGEST:
            raise ValueError("too long")
        key: tuple[Any, ...] = TypeAdapter(tuple[kinds]).validate_json(document)  # type: ignore[valid-type]  # a tuple of what the caller names
    except (ValueError, UnicodeError, binascii.Error, ValidationError) as error:
        raise InvalidRequest("`after` is not the cursor of a page: take it from the page before.") from error
    return key
