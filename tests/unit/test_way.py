"""What a DATABASE_URL says of the way to Postgres: one server or several, straight or by a pooler."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.db.way import Way, way_of
from shared.settings import Settings


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("postgresql://u:p@a/x?sslmode=require", Way("postgresql://u:p@a/x?sslmode=require", False, ())),
        ("postgresql://u:p@a/x?pgbouncer=true", Way("postgresql://u:p@a/x", True, ())),
        ("postgresql://u:p@a/x?pgbouncer=false", Way("postgresql://u:p@a/x", False, ())),
        (
            "postgresql://a/x?pgbouncer=true&sslmode=require&application_name=a%20b",
            Way("postgresql://a/x?sslmode=require&application_name=a+b", True, ()),
        ),
        ("postgres:///x?host=/run", Way("postgres:///x?host=/run", False, ())),
        (
            "postgresql://u:p@a:1,[::1]:2,c/x",
            Way(
                "postgresql://u:p@a:1,[::1]:2,c/x?target_session_attrs=read-write",
                False,
                [("a", 1), ("::1", 2), ("c", 5432)],
            ),
        ),
        (
            "postgresql:///x?host=a,b&port=7&target_session_attrs=primary",
            Way("postgresql:///x?host=a%2Cb&port=7&target_session_attrs=primary", False, [("a", 7), ("b", 7)]),
        ),
    ],
)
def test_a_url_says_which_servers_and_what_is_in_between(url: str, way: Way) -> None:
    assert way_of(url) == way


@pytest.mark.parametrize("url", ["postgresql://a/x?pgbouncer=yes", "postgresql://a:1,b:x/x"])
def test_what_can_not_be_right_is_refused(url: str) -> None:
    given: dict[str, Any] = {"DATABASE_URL": url}
    with pytest.raises(ValidationError, match="DATABASE_URL"):
        Settings(**given)
