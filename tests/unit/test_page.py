"""Cursors of the operator's lists: what was given comes back, anything else is refused."""

from datetime import UTC, datetime

import pytest

from shared import ids
from shared.errors import InvalidRequest
from shared.inspect.page import cursor, cut, key_of


def test_a_key_comes_back_as_it_was() -> None:
    at, id_ = datetime(2026, 11, 22, 1, 2, 3, 456_789, tzinfo=UTC), ids.mint()
    assert key_of(cursor(at, id_, 7, None), datetime, str, int, str | None) == (at, id_, 7, None)


def test_without_a_cursor_the_key_is_nothing() -> None:
    assert key_of(None, datetime, int) == (None, None)


@pytest.mark.parametrize("text", ["", "x", "%%%", "é", "W10", cursor("a"), cursor(1, 2, 3), "A" * 10_000, "\ud800"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="after"):
        key_of(text, int, int)


def test_a_page_says_where_the_next_one_begins() -> None:
    page = cut([1, 2, 3], 2, lambda n: (n,))
    assert page.items == [1, 2]
    assert key_of(page.after, int) == (2,)


def test_the_last_page_says_that_it_is() -> None:
    assert cut([1, 2], 2, lambda n: (n,)).after is None
    assert cut([], 2, lambda n: (n,)).items == []
