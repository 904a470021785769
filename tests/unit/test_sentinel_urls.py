"""How a user names sentinels: one URL for all of it; what can't be right is refused where it is read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy import context
from shared.masks import masked
from shared.redis_urls import _allowed as options
from shared.redis_urls import arq_settings, led_of
from shared.settings import Settings
from shared.start import explain, told

TLS = "rediss://"
URL = "redis+sentinel://app:s%40e@h1:26379,h2,[::1]:7/main/3?sentinel_password=guard&health_check_interval=0"


def test_a_url_names_sentinels_the_master_and_the_database() -> None:
    known = led_of(URL)
    assert known.places == (("h1", 26379), ("h2", 26379), ("::1", 7))
    assert (known.name, known.secure) == ("main", False)
    assert known.options == {"username": "app", "password": "s@e", "db": 3, "health_check_interval": 0}
    assert known.own["password"] == "guard"
    assert "username" not in known.own


def test_tls_goes_to_redis_and_to_the_sentinels_with_the_same_authority() -> None:
    known = led_of("rediss+sentinel://h1/main?ssl_ca_certs=/etc/ca.pem")
    assert known.secure
    assert known.own["ssl_ca_certs"] == known.options["ssl_ca_certs"] == "/etc/ca.pem"


def test_arqs_own_command_gets_the_same_address() -> None:
    settings = arq_settings(URL)
    assert (settings.sentinel, settings.sentinel_master, settings.database) == (True, "main", 3)
    assert (settings.username, settings.password) == ("app", "s@e")
    assert settings.host == [("h1", 26379), ("h2", 26379), ("::1", 7)]
    settings = arq_settings("redis://:p%40q@h:1/2")
    assert (settings.host, settings.port, settings.password, settings.database) == ("h", 1, "p@q", 2)
    assert arq_settings("redis://h/").database == 0
    assert arq_settings("unix:///run/redis.sock?db=3").unix_socket_path == "/run/redis.sock"


@pytest.mark.parametrize("url", ["rediss://h/0", "rediss+sentinel://h/main/0"])
def test_arqs_own_command_gets_the_same_tls(url: str) -> None:
    settings = arq_settings(f"{url}?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=yes")
    assert (settings.ssl, settings.ssl_ca_certs, settings.ssl_check_hostname) == (True, "/ca.pem", True)
    assert (settings.ssl_certfile, settings.ssl_keyfile) == ("/c.pem", "/k.pem")
    assert arq_settings(f"{url}?ssl_cert_reqs=none").ssl_cert_reqs == "none"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://h1:26379", "names no master"),
        ("redis+sentinel://h1:26379/", "names no master"),
        ("redis+sentinel:///main", "no address of a sentinel"),
        ("redis+sentinel://h1:x/main", "no address of a sentinel"),
        ("redis+sentinel://h1:0,h2/main", "no address of a sentinel"),
        ("redis+sentinel://h1/main/first", "database is no number"),
        ("redis+sentinel://h1/main?sentinel_passwort=x", "there is no option sentinel_passwort"),
        ("redis+sentinel://h1/main?protocol=3", "option protocol takes no such value"),
        ("redis://h1?protocol=3", "option protocol takes no such value"),
        ("redis://h1?decode_responses=yes", "there is no option decode_responses"),
        ("redis+sentinel://h1/main?path=/run/x", "there is no option path"),
        ("redis://h1?path=/run/x", "there is no option path"),
        ("redis://h1?ssl_ca_certs=/ca.pem", "option ssl_ca_certs is for rediss://"),
        ("redis+sentinel://h1/main?ssl_ca_certs=/ca.pem", "option ssl_ca_certs is for rediss://"),
        ("rediss://h1?ssl_cert_reqs=maybe", "option ssl_cert_reqs takes no such value"),
        ("rediss://h1?ssl_cert_reqs=none&ssl_check_hostname=yes", "option ssl_check_hostname needs certificates"),
        ("rediss+sentinel://h1/main?ssl_ciphers=none-such", "option ssl_ciphers takes no such value"),
        ("rediss://h1?ssl_min_version=TLSv1.3", "there is no option ssl_min_version"),
        ("rediss://h1?ssl_ca_data=none", "option ssl_ca_data takes no such value"),
        ("redis://h1?socket_timeout=-1", "option socket_timeout takes no such value"),
        ("redis://h1?max_connections=-1", "option max_connections takes no such value"),
        ("redis://h1?db=first", "option db takes no such value"),
        ("redis://h1/first", "database is no number"),
        ("redis://h1,h2", "several hosts"),
        ("unix:///run/x?socket_keepalive=1", "there is no option socket_keepalive"),
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
    "given",
    [
        {"DATABASE_URL": "postgresql://u:p@h/db?sslpassword=S3cr3t"},
        {"DATABASE_URL": "postgresql://u@h/db?p%61ssword=S3cr3t"},
        {"REDIS_URL": "redis://S3cr3t@h"},
        {"REDIS_URL": "redis://h/0?p%61ssword=S3cr3t"},
        {"REDIS_URL": "rediss+sentinel://h/main?sentinel_p%61ssword=S3cr3t"},
    ],
)
def test_no_password_is_told_at_the_start_wherever_it_stands(given: dict[str, Any]) -> None:
    assert "S3cr3t" not in str(told(Settings(**given)))


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


def test_each_option_is_documented() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in options(TLS) if f"`{name}`" not in reference] == []


KINDS = [("redis://", "0"), ("rediss+sentinel://", "main/0"), ("postgresql://", "main")]
ODD = [f"12{one}Hid{two}Den34" for one in "@/#?:%" for two in "@/#?:%="] + ["12", "Hid?Den=1&a", "Hid]Den", "[Hid"]


@pytest.mark.parametrize(("scheme", "path"), KINDS)
@pytest.mark.parametrize("hosts", ["h", "h:1", "h1:1,h2:2"])
def test_no_piece_of_a_password_that_nobody_escaped_is_shown(scheme: str, path: str, hosts: str) -> None:
    for password in ODD:
        for login in (f":{password}", f"u:{password}", password):
            url = f"{scheme}{login}@{hosts}/{path}"
            shown = [context.unanswered("It", url), refusal(url), refusal(f"{url}?port=Hid")]
            named = login == password and (scheme == "postgresql://" or ":" in login)  # a user's name is shown
            if not shown[1] and not named:
                shown.append(masked(url))
            assert not [text for text in shown if "Hid" in text or "Den" in text], url
            assert ":12" not in shown[0]


def refusal(url: str) -> str:
    """What is said of it, in every way in which it is said."""
    try:
        Settings(**given(url))
    except ValidationError as error:
        return f"{explain(error)} {error} {error!r}"
    return ""


def given(url: str) -> dict[str, Any]:
    return {"DATABASE_URL" if url.startswith("postgresql") else "REDIS_URL": url}
