"""Secrets of tokens: their form, what is kept, what may be shown."""

import hashlib
import re

import pytest

from shared import tokens
from shared.errors import InvalidRequest
from shared.models import TokenKind


def test_a_secret_of_ours_is_mst_and_43_url_safe_characters() -> None:
    assert re.fullmatch(r"mst_[A-Za-z0-9_-]{43}", tokens.mint().text)


def test_no_two_secrets_are_the_same() -> None:
    assert len({tokens.mint().text for _ in range(1_000)}) == 1_000


def test_what_is_kept_is_the_sha_256() -> None:
    secret = tokens.mint()
    assert secret.digest == hashlib.sha256(secret.text.encode()).digest()


def test_what_is_shown_is_the_kind_and_six_characters() -> None:
    assert tokens.Secret("mst_" + "a" * 43).prefix == "mst_aaaaaa"
    assert tokens.Secret("grt_svc_" + "b" * 30).prefix == "grt_svc_bbbbbb"


def test_a_secret_is_not_printed_by_accident() -> None:
    secret = tokens.mint()
    assert secret.text not in repr(secret)
    assert secret.text not in f"{secret}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mst_",
        "mst_short",
        "mst_" + "a" * 300,
        "abc_" + "a" * 43,
        "mst_" + "a" * 42 + "\n",
        "mst_" + "é" * 43,
    ],
)
def test_what_has_not_the_form_of_a_secret_is_not_looked_up(text: str) -> None:
    assert tokens.parse(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [("grt_pat_" + "a" * 40, TokenKind.HUMAN_PAT), ("grt_svc_" + "a" * 40, TokenKind.SERVICE_TOKEN)],
)
def test_an_imported_token_is_of_the_kind_that_its_prefix_says(text: str, kind: TokenKind) -> None:
    secret, found = tokens.imported(text)
    assert (secret.text, found) == (text, kind)


@pytest.mark.parametrize("text", ["mst_" + "a" * 43, "grt_pat_tooshort", "grt_adm_" + "a" * 40, "x" * 50])
def test_only_tokens_issued_elsewhere_are_imported_and_the_refusal_does_not_repeat_them(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tokens.imported(text)
    assert text not in str(refused.value)
