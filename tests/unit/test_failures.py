"""Errors by their kind, and stacks that quote nobody."""

from typing import NoReturn

import pytest

from shared.failures import KIND_LIMIT, STACK_LIMIT, UNKNOWN, kind_of, mark_of, stack_of


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (repr(ValueError("boom")), "ValueError: boom"),
        (repr(ValueError("no event of type 'nonsense'")), "ValueError: no event of type '…'"),
        (repr(ValueError("it can't be 'read' or \"told\"")), "ValueError: it can't be '…'"),
        (repr(ValueError("no 'event' here, and it can't be")), "ValueError: no '…' here, and it can't be"),
        (repr(ValueError()), "ValueError"),
        (repr(ValueError("thread 01K5XAMP1E0000000000000000 of 4711")), "ValueError: thread # of #"),
        (repr(ValueError("first line\nsecond 'line'")), "ValueError: first line"),
        ("at 0x7f3a2b, 3.5 s, row 1,000, -7", "at #, # s, row #, #"),
        ("token 6ba7b810-9dad-11d1-80b4-00c04fd430c8 of deadbeef01", "token # of #"),
        ("utf8 and sha256 are words", "utf8 and sha256 are words"),
        ("the worker that applied it died", "the worker that applied it died"),
        ("\n\n  spaces \t between \n", "spaces between"),
        ("bell\x07 and \u202eright to left", "bell\ufffd and \ufffdright to left"),
        (None, UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_like_errors_are_of_one_kind(error: str | None, kind: str) -> None:
    assert kind_of(error) == kind


WORDS = 'it\'s my "secret" words'


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (repr(KeyError(WORDS)), "KeyError"),
        (repr(TypeError(f"unexpected keyword argument '{WORDS}'")), "TypeError: unexpected keyword argument '…'"),
        (repr(TypeError(f"unexpected {WORDS!r} here")), "TypeError: unexpected '…' here"),
        (repr(ValueError(f"near '{WORDS}\nand more'")), "ValueError: near '…'"),
        (repr(ValueError("no 'x' near 'my words")), "ValueError: no '…'"),
        (repr(ValueError("no 'x' near ' my words")), "ValueError: no '…'"),
        (repr(ValueError(f"no '{'x' * 3_000} {WORDS}'")), "ValueError: no '…'"),
        (repr(ValueError({"text": WORDS})), "ValueError"),
        (repr(ValueError("row 1", WORDS)), "ValueError"),
        (repr(UnicodeEncodeError("utf-8", f"{WORDS}\ud800", 0, 1, "surrogates")), "UnicodeEncodeError"),
    ],
)
def test_what_somebody_sent_parts_no_kinds(error: str, kind: str) -> None:
    assert kind_of(error) == kind


@pytest.mark.parametrize("kind", ["KeyError: my words", "my words", "ValueError: my: words", "", "x" * 200])
def test_the_mark_of_a_kind_is_its_own_and_has_no_more_of_it_than_its_type(kind: str) -> None:
    named, _, digest = mark_of(kind).rpartition(" ")
    assert (named, len(digest)) == (kind.partition(":")[0] if "Error" in kind else "", 8)
    assert mark_of(kind) != mark_of(f"{kind}.")


@pytest.mark.parametrize("error", ["x" * 100_000, "'" * 100_000, "ValueError('" + "\\" * 100_000, "1." * 50_000])
def test_a_kind_is_bounded_whatever_the_error_is(error: str) -> None:
    assert 0 < len(kind_of(error)) <= KIND_LIMIT


def raised(depth: int) -> NoReturn:
    if depth:
        raised(depth - 1)
    raise ValueError("what somebody said")


def caught(depth: int) -> BaseException:
    try:
        try:
            raised(depth)
        except ValueError as error:
            raise RuntimeError("more of what they said") from error
    except RuntimeError as error:
        return error


def test_a_stack_says_where_and_of_what_but_quotes_no_message() -> None:
    stack = stack_of(caught(0))
    assert stack is not None
    assert "in raised" in stack
    assert stack.index("builtins.ValueError") < stack.index("led to") < stack.index("builtins.RuntimeError")
    assert '"builtins.ValueError: ' not in stack
    assert stack.endswith("builtins.RuntimeError")


def test_a_stack_is_bounded_and_keeps_its_end() -> None:
    stack = stack_of(caught(90))
    assert stack is not None
    assert len(stack) <= STACK_LIMIT
    assert stack.endswith("builtins.RuntimeError")


def test_an_error_that_was_never_raised_has_no_stack() -> None:
    assert stack_of(ValueError("never raised")) is None
