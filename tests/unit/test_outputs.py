"""What a runner may yield: `checked` lets it through, mends it, or names the field that is wrong."""

import math
import time
from typing import Any

import pytest

from worker.runners import (
    Checkpoint,
    Custom,
    File,
    MessageEnd,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)
from worker.runners.isolation import Arriving
from worker.runners.outputs import LIMIT, OUTPUT, Plain, checked
from worker.runners.storable import DEPTH


def nested(depth: int) -> Any:
    """Lists in lists, `depth` of them."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


FINE: list[Plain] = [
    TextDelta(""),
    TextDelta("Grüße 🌍"),
    TextDelta("x" * LIMIT),
    ThinkingDelta("hm"),
    MessageEnd(),
    ToolStarted("1", "search"),
    ToolStarted("x" * 255, "n" * 255, {"q": ["a", None, 1.5, True, {"b": {}}]}),
    ToolCompleted("1"),
    ToolCompleted("1", "text", error=True),
    PermissionRequest("1", "May I?"),
    PermissionRequest("1", "", tool="rm", input={}, expires_in=0.5),
    Checkpoint(None),
    Checkpoint({"a": [1, "b"], "depth": [[[[]]]]}),
    Checkpoint(nested(DEPTH)),
    ToolStarted("1", "a", {"b": nested(DEPTH - 1)}),
    PermissionRequest("1", "a", input={"b": nested(DEPTH - 1)}),
    Custom("n", {"b": nested(DEPTH - 1)}),
    Usage(),
    Usage(10**9, 0),
    Custom("n", 5),
    Custom("n" * 64),
]


WRONG: list[tuple[Any, str]] = [
    (File("", b""), "File.name"),
    (File("a/b", b""), "File.name"),
    (File("a\nb", b""), "File.name"),
    (File("x" * 256, b""), "File.name"),
    (File("a", [b"x"]), "File.content"),  # type: ignore[arg-type]  # what it is about
    (File("a", b"", mime_type=5), "File.mime_type"),  # type: ignore[arg-type]  # as above
    ("text", "not 'str'"),
    (None, "not 'NoneType'"),
    ({"type": "text_delta", "text": "a"}, "not 'dict'"),
    (TextDelta, "not 'type'"),
    (TextDelta("a", type="usage"), "TextDelta.type"),  # type: ignore[arg-type]  # wrong on purpose
    (TextDelta(None), "TextDelta.text"),  # type: ignore[arg-type]  # wrong on purpose
    (TextDelta(b"a"), "TextDelta.text"),  # type: ignore[arg-type]  # wrong on purpose
    (TextDelta("x" * (LIMIT + 1)), "TextDelta.text"),
    (ThinkingDelta(5), "ThinkingDelta.text"),  # type: ignore[arg-type]  # wrong on purpose
    (ToolStarted("", "a"), "ToolStarted.id"),
    (ToolStarted("x" * 256, "a"), "ToolStarted.id"),
    (ToolStarted("a\0", "a"), "ToolStarted.id"),
    (ToolStarted("1", ""), "ToolStarted.name"),
    (ToolStarted("1", "a", []), "ToolStarted.input"),  # type: ignore[arg-type]  # wrong on purpose
    (ToolStarted("1", "a", {"b": object()}), "ToolStarted.input"),
    (ToolStarted("1", "a", {1: 2}), "ToolStarted.input"),  # type: ignore[dict-item]  # wrong on purpose
    (ToolCompleted("1", 5), "ToolCompleted.output"),  # type: ignore[arg-type]  # wrong on purpose
    (ToolCompleted("1", error="no"), "ToolCompleted.error"),  # type: ignore[arg-type]  # wrong on purpose
    (ToolCompleted(""), "ToolCompleted.id"),
    (PermissionRequest("", "a"), "PermissionRequest.id"),
    (PermissionRequest("\ud800", "a"), "PermissionRequest.id"),
    (PermissionRequest("1", None), "PermissionRequest.title"),  # type: ignore[arg-type]  # wrong on purpose
    (PermissionRequest("1", "a", tool=""), "PermissionRequest.tool"),
    (PermissionRequest("1", "a", input="x"), "PermissionRequest.input"),  # type: ignore[arg-type]  # wrong on purpose
    (PermissionRequest("1", "a", expires_in=0), "PermissionRequest.expires_in"),
    (PermissionRequest("1", "a", expires_in=-1), "PermissionRequest.expires_in"),
    (PermissionRequest("1", "a", expires_in=math.nan), "PermissionRequest.expires_in"),
    (PermissionRequest("1", "a", expires_in=math.inf), "PermissionRequest.expires_in"),
    (PermissionRequest("1", "a", expires_in=True), "PermissionRequest.expires_in"),
    (PermissionRequest("1", "a", expires_in="5"), "PermissionRequest.expires_in"),  # type: ignore[arg-type]  # wrong on purpose
    (Checkpoint({"a": math.nan}), "Checkpoint.state"),
    (Checkpoint((1, 2)), "Checkpoint.state"),
    (Checkpoint({"a", "b"}), "Checkpoint.state"),
    (Checkpoint("x" * LIMIT), "Checkpoint.state"),
    (Checkpoint(nested(100_000)), "Checkpoint.state"),
    (Checkpoint(nested(DEPTH + 1)), "Checkpoint.state"),
    (ToolStarted("1", "a", {"b": nested(DEPTH)}), "ToolStarted.input"),
    (PermissionRequest("1", "a", input={"b": nested(DEPTH)}), "PermissionRequest.input"),
    (Custom("n", {"b": nested(DEPTH)}), "Custom.data"),
    (Checkpoint(10**5_000), "Checkpoint.state"),
    (Usage(-1), "Usage.input_tokens"),
    (Usage(0, 10**9 + 1), "Usage.output_tokens"),
    (Usage(1.5), "Usage.input_tokens"),  # type: ignore[arg-type]  # wrong on purpose
    (Usage(True), "Usage.input_tokens"),
    (Custom("", 1), "Custom.name"),
    (Custom("n" * 65, 1), "Custom.name"),
    (Custom("n", b"x"), "Custom.data"),
]


@pytest.mark.parametrize("output", FINE, ids=lambda output: str(output)[:40])
def test_what_is_right_goes_through_as_it_is(output: Plain) -> None:
    assert checked(output) == output
    assert OUTPUT.validate_json(OUTPUT.dump_json(output)) == output


@pytest.mark.parametrize(
    ("output", "field"), WRONG, ids=[f"{number}-{field}" for number, (_, field) in enumerate(WRONG)]
)
def test_what_is_wrong_is_refused_with_the_name_of_its_field(output: Any, field: str) -> None:
    with pytest.raises(RunnerError) as refused:
        checked(output)
    assert refused.value.code == "runner.invalid_output"
    assert field in refused.value.message
    assert len(refused.value.message) < 300


def test_what_postgres_can_not_keep_is_replaced_in_texts() -> None:
    assert checked(TextDelta("a\0b\ud800c\udfff")) == TextDelta("a�b�c�")
    assert checked(ToolCompleted("1", "\0")) == ToolCompleted("1", "�")
    assert checked(PermissionRequest("1", "\0", tool="a\0")) == PermissionRequest("1", "�", tool="a�")
    assert checked(File("a\0.md\ud800", b"")) == File("a�.md�", b"", "application/octet-stream")
    assert checked(Custom("n\0", ["\0"])) == Custom("n�", ["�"])


def test_in_json_it_is_replaced_in_keys_and_values_and_what_only_looks_like_it_stays() -> None:
    given = {"k\0": ["\ud800", "\\u0000", "\\\\u0000", "\\\0"], "\udfff": {"deep": "x\0"}}
    kept = {"k�": ["�", "\\u0000", "\\\\u0000", "\\�"], "�": {"deep": "x�"}}
    assert checked(Checkpoint(given)) == Checkpoint(kept)
    assert checked(ToolStarted("1", "t", given)) == ToolStarted("1", "t", kept)


def test_what_a_runner_changes_after_its_checkpoint_does_not_reach_the_checkpoint() -> None:
    state = {"done": [1]}
    kept = checked(Checkpoint(state))
    state["done"].append(2)
    assert kept == Checkpoint({"done": [1]})


def test_a_subclass_is_not_of_the_contract() -> None:
    class Louder(TextDelta):
        pass

    with pytest.raises(RunnerError, match="'Louder'"):
        checked(Louder("a"))


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("a.md", None, "text/markdown"),
        ("a.tar.gz", None, "application/gzip"),
        ("a", None, "application/octet-stream"),
        ("a.md", "Text/CSV; charset=x", "text/csv"),
        ("a.md", "no type", "application/octet-stream"),
    ],
)
def test_a_file_s_type_is_what_is_said_of_it_else_what_its_name_says(name: str, given: str | None, kind: str) -> None:
    found = checked(File(name, b"", given))
    assert isinstance(found, File)
    assert found.mime_type == kind


def test_a_delta_costs_microseconds() -> None:
    delta = TextDelta("hello wor")
    best = min(_seconds(delta) for _ in range(5))
    assert best / 10_000 < 10e-6  # measured at 0.4 us; ten times as much room for a machine under load, and more


def _seconds(delta: TextDelta) -> float:
    began = time.perf_counter()
    for _ in range(10_000):
        checked(delta)
    return time.perf_counter() - began


def test_a_child_announces_no_file_of_fewer_than_no_bytes() -> None:
    talk: Any = None  # it says nothing of it
    with pytest.raises(RunnerError, match="fewer than 0 bytes") as refused:
        Arriving(talk, -1)
    assert refused.value.code == "runner.invalid_output"
