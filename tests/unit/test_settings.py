"""Settings that can't be right are refused where they are read, with their names."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.settings import Settings


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "mysql://127.0.0.1/x"),
        ("DATABASE_URL", "postgresql://127.0.0.1:notaport/x"),
        ("DATABASE_URL", "postgresql://[::1/x"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "redis://127.0.0.1:99999999/0"),
    ],
)
def test_an_address_that_is_none_is_refused(name: str, url: str) -> None:
    given: dict[str, Any] = {name: url}
    with pytest.raises(ValidationError, match=name):
        Settings(**given)


@pytest.mark.parametrize(
    "url", ["postgresql://a:5432,b:5433/x", "postgres:///x?host=/run", "postgresql://[::1]:5432/x"]
)
def test_postgres_may_have_several_hosts_and_sockets(url: str) -> None:
    given: dict[str, Any] = {"DATABASE_URL": url}
    assert Settings(**given).database_url == url
