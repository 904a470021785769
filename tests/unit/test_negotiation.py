"""What request headers ask for: how long to wait, and the key of a retry."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from api import negotiation
from shared.errors import InvalidRequest


def headers(*values: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(values))


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], 2.0),
        (["wait=5"], 5.0),
        (["wait = 5"], 5.0),
        (['wait="5"'], 5.0),
        (["WAIT=5"], 5.0),
        (["wait=5; foo=bar"], 5.0),
        (["wait=0"], 0.0),
        (["wait=30"], 30.0),
        (["wait=31"], 30.0),
        (["wait=999999"], 30.0),
        (["wait=9999999"], 2.0),
        (["wait=-1"], 2.0),
        (["wait=1.5"], 2.0),
        (["wait"], 2.0),
        (["wait=٣"], 2.0),
        (["respond-async"], 0.0),
        (["Respond-Async"], 0.0),
        (["respond-async, wait=10"], 10.0),
        (["respond-async", "wait=10"], 10.0),
        (["wait=10", "wait=20"], 10.0),
        (["handling=strict, return=minimal"], 2.0),
        ([""], 2.0),
    ],
)
def test_a_preference_is_read_as_rfc_7240_wants_it(prefer: list[str], seconds: float) -> None:
    given = headers(*[("Prefer", value) for value in prefer])
    assert negotiation.wait(given, default=2.0, limit=30.0) == seconds


def test_a_key_is_one_trimmed_header_of_printable_characters() -> None:
    assert negotiation.idempotency_key(headers()) is None
    assert negotiation.idempotency_key(headers(("idempotency-key", " k ü "))) == "k ü"
    for wrong in ("", " ", "k" * 129, "a\x01b", "a\x7fb", "a\udcffb", "a\u2028b"):
        with pytest.raises(InvalidRequest, match="Idempotency-Key"):
            negotiation.idempotency_key(headers(("Idempotency-Key", wrong)))
    with pytest.raises(InvalidRequest, match="one header"):
        negotiation.idempotency_key(headers(("Idempotency-Key", "a"), ("Idempotency-Key", "a")))
