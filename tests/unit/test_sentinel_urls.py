"""How a user names sentinels: one URL for all of it; what can't be right is refused where it is read."""

from typing import Any

import pytest
from pydantic import ValidationError

from deploy import context
from shared.masks import masked
from shared.queue import arq_settings
from shared.sentinel import sentinels_of
from shared.settings import Settings
from shared.start import told

URL = "redis+sentinel://app:s%40e@h1:26379,h2,[::1]:7/main/3?sentinel_password=guard&health_check_interval=0"


def test_a_url_names_sentinels_the_master_and_the_database() -> None:
    known = sentinels_of(URL)
    assert known.places == [("h1", 26379), ("h2", 26379), ("::1", 7)]
    assert (known.name, known.secure) == ("main", False)
    assert known.options == {"username": "app", "password": "s@e", "db": 3, "health_check_interval": 0}
    assert known.own["password"] == "guard"
    assert "username" not in known.own


def test_tls_goes_to_redis_and_to_the_sentinels_with_the_same_authority() -> None:
    known = sentinels_of("rediss+sentinel://h1/main?ssl_ca_certs=/etc/ca.pem")
    assert known.secure
    assert known.own["ssl_ca_certs"] == known.options["ssl_ca_certs"] == "/etc/ca.pem"


def test_arqs_own_command_gets_the_same_address() -> None:
    settings = arq_settings(URL)
    assert (settings.sentinel, settings.sentinel_master, settings.database) == (True, "main", 3)
    assert (settings.username, settings.password) == ("app", "s@e")
    assert settings.host == [("h1", 26379), ("h2", 26379), ("::1", 7)]
    assert arq_settings("redis://:p@h:1/2").host == "h"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://h1:26379", "names no master"),
        ("redis+sentinel://h1:26379/", "names no master"),
        ("redis+sentinel:///main", "no address of a sentinel"),
        ("redis+sentinel://h1:x/main", "no address of a sentinel"),
        ("redis+sentinel://h1:0,h2/main", "no address of a sentinel"),
        ("redis+sentinel://h1/main/first", "no number of a database"),
        ("redis+sentinel://h1/main?sentinel_passwort=x", "no such option: sentinel_passwort"),
    ],
)
def test_what_can_not_be_right_is_refused(url: str, why: str) -> None:
    given: dict[str, Any] = {"REDIS_URL": url}
    with pytest.raises(ValidationError, match=why):
        Settings(**given)


def test_no_password_of_it_is_shown() -> None:
    given: dict[str, Any] = {"REDIS_URL": URL}
    shown = str(told(Settings(**given))["redis"])
    assert shown == masked(URL)
    assert "s%40e" not in shown
    assert "guard" not in shown


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, "h1:26379,h2,::1:7"),
        ("postgresql://a:5432,b:5433/x", "a:5432,b:5433"),
        ("postgresql://u:p@a/x", "a:default port"),
        ("postgresql:///x?host=/run", "localhost:default port"),
    ],
)
def test_servers_that_do_not_answer_are_named_by_their_addresses(url: str, address: str) -> None:
    assert context.unanswered("It", url) == f"It at {address} does not answer"
