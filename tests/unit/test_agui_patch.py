"""JSON Patch as RFC 6902 says, with a bound on its work. The cases with a letter are those of its appendix A."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.runners.agui.patch import Operation, PatchRefused, apply, weigh

APPLIED: dict[str, tuple[Any, list[Operation], Any]] = {
    "A.1 adds a member": ({"foo": "bar"}, [Operation("add", "/baz", value="qux")], {"baz": "qux", "foo": "bar"}),
    "A.2 adds an element": (
        {"foo": ["bar", "baz"]},
        [Operation("add", "/foo/1", value="qux")],
        {"foo": ["bar", "qux", "baz"]},
    ),
    "A.3 removes a member": ({"baz": "qux", "foo": "bar"}, [Operation("remove", "/baz")], {"foo": "bar"}),
    "A.4 removes an element": (
        {"foo": ["bar", "qux", "baz"]},
        [Operation("remove", "/foo/1")],
        {"foo": ["bar", "baz"]},
    ),
    "A.5 replaces": (
        {"baz": "qux", "foo": "bar"},
        [Operation("replace", "/baz", value="boo")],
        {"baz": "boo", "foo": "bar"},
    ),
    "A.6 moves a member": (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [Operation("move", "/qux/thud", "/foo/waldo")],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    "A.7 moves an element": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [Operation("move", "/foo/3", "/foo/1")],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A.8 tests": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [Operation("test", "/baz", value="qux"), Operation("test", "/foo/1", value=2.0)],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A.10 adds an object": (
        {"foo": "bar"},
        [Operation("add", "/child", value={"grandchild": {}})],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A.14 unescapes": (
        {"/": 9, "~1": 10},
        [Operation("test", "/~01", value=10), Operation("test", "/~1", value=9)],
        {"/": 9, "~1": 10},
    ),
    "A.16 adds at the end": (
        {"foo": ["bar"]},
        [Operation("add", "/foo/-", value=["abc", "def"])],
        {"foo": ["bar", ["abc", "def"]]},
    ),
    "add replaces a member": ({"a": 1}, [Operation("add", "/a", value=None)], {"a": None}),
    "add at the length": ([1], [Operation("add", "/1", value=2)], [1, 2]),
    "the whole document": ({"a": 1}, [Operation("replace", "", value=[])], []),
    "the whole document, added": ({"a": 1}, [Operation("add", "", value=1)], 1),
    "an empty name": ({"": {"": 1}}, [Operation("replace", "//", value=2)], {"": {"": 2}}),
    "a member out to the root": ({"a": {"b": 1}}, [Operation("move", "", "/a")], {"b": 1}),
    "a move onto itself": ({"a": [1]}, [Operation("move", "/a", "/a")], {"a": [1]}),
    "nothing": ({"a": 1}, [], {"a": 1}),
}

REFUSED: dict[str, tuple[Any, list[Operation]]] = {
    "A.9 a test that fails": ({"baz": "qux"}, [Operation("test", "/baz", value="bar")]),
    "A.12 a parent that is not there": ({"foo": "bar"}, [Operation("add", "/baz/bat", value="qux")]),
    "A.15 a string is no number": ({"~1": 10}, [Operation("test", "/~01", value="10")]),
    "true is not 1": ({"a": 1}, [Operation("test", "/a", value=True)]),
    "0 is not false": ([False], [Operation("test", "", value=[0])]),
    "remove of nothing": ({}, [Operation("remove", "/a")]),
    "remove of the end": ([1], [Operation("remove", "/-")]),
    "remove of everything": ({}, [Operation("remove", "")]),
    "replace of nothing": ({}, [Operation("replace", "/a", value=1)]),
    "replace of the end": ([1], [Operation("replace", "/-", value=1)]),
    "beyond the array": ([1], [Operation("add", "/2", value=1)]),
    "a leading zero": ([1, 2], [Operation("replace", "/01", value=1)]),
    "a sign": ([1, 2], [Operation("remove", "/-1")]),
    "digits of another script": ([1, 2], [Operation("remove", "/\N{ARABIC-INDIC DIGIT ONE}")]),
    "a place that is huge": ([1], [Operation("remove", "/" + "9" * 5_000)]),
    "into a string": ({"a": "b"}, [Operation("add", "/a/0", value=1)]),
    "through a number": ({"a": 1}, [Operation("add", "/a/b/c", value=1)]),
    "a copy of nothing": ({}, [Operation("copy", "/a", "/b")]),
    "a move of nothing": ({}, [Operation("move", "/a", "/b")]),
    "a move into itself": ({"a": {"b": {}}}, [Operation("move", "/a/b/c", "/a")]),
    "a move of everything into itself": ({"a": {}}, [Operation("move", "/a/b", "")]),
}


@pytest.mark.parametrize("name", APPLIED)
def test_an_operation_does_what_the_rfc_says(name: str) -> None:
    document, operations, result = APPLIED[name]
    assert apply(document, operations)[0] == result


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    document, operations = REFUSED[name]
    with pytest.raises(PatchRefused):
        apply(document, operations)


def test_a_copy_is_another_value() -> None:
    document, _ = apply({"a": [1]}, [Operation("copy", "/b", "/a"), Operation("add", "/b/-", value=2)])
    assert document == {"a": [1], "b": [1, 2]}


def test_copies_of_copies_end_before_they_are_large() -> None:
    doubling = [Operation("copy", "/-", "") for _ in range(64)]
    with pytest.raises(PatchRefused, match="too large"):
        apply([1], doubling)


def test_copies_of_a_long_text_count_by_its_length() -> None:
    with pytest.raises(PatchRefused, match="too large"):
        apply({"a": "x" * 1_000_000}, [Operation("copy", f"/{n}", "/a") for n in range(5)])


def test_moving_much_many_times_is_too_much_work() -> None:
    there_and_back = [Operation("move", "/b", "/a"), Operation("move", "/a", "/b")] * 1_000
    with pytest.raises(PatchRefused, match="too large"):
        apply({"a": [0] * 10_000}, there_and_back)


def test_a_document_does_not_grow_deeper_than_it_can_be_written() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    path = "/a" * 60
    document, _ = apply(deep, [Operation("replace", path, value=deep)])
    with pytest.raises(PatchRefused, match="nested"):
        apply(document, [Operation("replace", path * 2, value=deep)])


NAMES = st.sampled_from(["a", "b", "~", "/"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OPS: list[Any] = ["add", "remove", "replace", "move", "copy", "test"]


def _pointers(value: Any, path: str = "") -> list[str]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _pointers(item, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


@given(JSON, st.data())
def test_what_is_replaced_is_found_again_and_what_is_moved_away_is_gone(document: Any, data: st.DataObject) -> None:
    pointer = data.draw(st.sampled_from(_pointers(document)))
    value = data.draw(JSON)
    changed, spent = apply(document, [Operation("replace", pointer, value=value)])
    assert spent == weigh(value, 1 << 20)
    assert apply(changed, [Operation("test", pointer, value=value)])[0] == changed


@given(JSON, st.sampled_from(OPS), st.data())
def test_what_a_patch_puts_somewhere_is_there(document: Any, op: Any, data: st.DataObject) -> None:
    paths = st.sampled_from([*_pointers(document), "/a", "/-", "/0", "/a/b", "//"])
    path, origin, value = data.draw(paths), data.draw(paths), data.draw(JSON)
    before = copy.deepcopy(document)
    try:
        changed, _ = apply(document, [Operation(op, path, origin, value)])
    except PatchRefused:
        return
    if op in ("copy", "move"):
        value = _found(before, origin)
    if op != "remove" and not path.endswith("-"):
        assert _found(changed, path) == value


def _found(document: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document
