"""How the tables of the command line say things."""

import pytest

from deploy import words
from shared.words import visible


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (-0.01, "0.0 s"),
        (0.44, "0.4 s"),
        (12.9, "12 s"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (180_000, "2 d 2 h"),
        (3_600, "1 h"),
    ],
)
def test_an_age_is_said_in_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert words.age(seconds) == said


def test_a_text_is_one_line_and_cut() -> None:
    assert words.short("a\nb   c") == "a b c"
    assert words.short("x" * 100, 10) == "x" * 9 + "…"
    assert words.short(None) == ""


def test_a_batch_is_told_by_its_types_and_its_first_text() -> None:
    stored = [{"type": "user_message", "text": "hello"}, {"type": "user_message"}, {"type": "user_interrupt"}]
    assert words.events(stored) == "2 x user_message, user_interrupt: hello"
    assert words.events([{"type": "thread_archived"}]) == "thread_archived"
    assert words.events([{"text": "hi"}, {"type": None}]) == "2 x without a type: hi"


def test_what_is_no_list_of_events_is_told_as_it_is() -> None:
    assert words.events(["junk", 7]) == "unreadable"
    assert words.events({"a": 1}) == "unreadable"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 👩‍💻\n\tand lines", "plain, ünïcode, 👩‍💻\n\tand lines"),
        ("bell\x07 escape\x1b[31m", "bell⟨U+0007⟩ escape⟨U+001B⟩[31m"),
        ("gpj.\u202eexe", "gpj.⟨U+202E⟩exe"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
        ("a\u200bb\ufeff\x7f", "a⟨U+200B⟩b⟨U+FEFF⟩⟨U+007F⟩"),
    ],
)
def test_what_could_not_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown
