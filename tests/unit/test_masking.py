"""What the console shows of an agent's configuration."""

import pytest

from api.console.masking import MASK, masked, masked_url


def test_what_is_named_like_a_secret_is_left_out_however_deep_it_stands() -> None:
    config = {
        "model": "m",
        "api_key": "a",
        "api_key_env": "OPENAI_KEY",
        "max_tokens": 400,
        "headers": {"X-Team": "a", "nested": ["a", {"deep": "a"}]},
        "tools": [{"name": "search", "Authorization": "a", "clientSecret": ["a", "b"]}],
        "password": None,
    }
    assert masked(config) == {
        "model": "m",
        "api_key": MASK,
        "api_key_env": "OPENAI_KEY",
        "max_tokens": 400,
        "headers": {"X-Team": MASK, "nested": [MASK, {"deep": MASK}]},
        "tools": [{"name": "search", "Authorization": MASK, "clientSecret": [MASK, MASK]}],
        "password": None,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/v1", "https://a.example/v1"),
        ("https://me:pass@a.example/v1?key=1&b=2#c", f"https://{MASK}@a.example/v1?key={MASK}&b={MASK}#c"),
        ("not an address", "not an address"),
        ("https://[broken", MASK),
    ],
)
def test_an_address_is_shown_without_its_password_and_its_parameters(text: str, shown: str) -> None:
    assert masked_url(text) == shown
