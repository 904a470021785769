"""A tape bounds what one run may say at once, however it is cut into pieces."""

import pytest

from shared import ids
from shared.ids import RunId
from shared.reports import Tokens
from worker.execute.tape import Tape, TooLong
from worker.runners import Checkpoint, MessageEnd, TextDelta, ThinkingDelta, ToolStarted

LIMIT = 8 << 20  # characters
PIECE = "x" * (1 << 20)


@pytest.fixture
def tape() -> Tape:
    return Tape(RunId(ids.mint()), Tokens(0, 0))


@pytest.mark.parametrize("delta", [TextDelta, ThinkingDelta])
def test_a_message_and_a_thought_have_an_end(tape: Tape, delta: type[TextDelta | ThinkingDelta]) -> None:
    for _ in range(LIMIT // len(PIECE)):
        tape.add(delta(PIECE), 0.0)
        tape.take()
    with pytest.raises(TooLong):
        tape.add(delta("x"), 0.0)


def test_each_thought_is_counted_by_itself(tape: Tape) -> None:
    for _ in range(3):
        for _ in range(LIMIT // len(PIECE)):
            tape.add(ThinkingDelta(PIECE), 0.0)
            tape.take()
        tape.add(TextDelta("said"), 0.0)
        tape.add(MessageEnd(), 0.0)


def test_what_a_run_says_since_its_checkpoint_has_an_end(tape: Tape) -> None:
    """All of it is read by the next attempt; inputs of tools count as texts do."""
    for _ in range(2):
        for number in range(63):
            tape.add(ToolStarted(f"call {number}", "read", {"text": PIECE}), 0.0)
            tape.take()
        tape.add(Checkpoint({}), 0.0)
    for number in range(63):
        tape.add(ToolStarted(f"call {number}", "read", {"text": PIECE}), 0.0)
    with pytest.raises(TooLong, match="64 MiB since its last checkpoint"):
        tape.add(ToolStarted("one more", "read", {"text": PIECE}), 0.0)


def test_what_waits_is_measured_with_the_inputs_of_tools(tape: Tape) -> None:
    tape.add(ToolStarted("call", "read", {"text": PIECE}), 0.0)
    assert tape.size > len(PIECE)


def test_a_message_of_many_small_pieces_is_kept_in_few(tape: Tape) -> None:
    said = [f"{number} " for number in range(20_000)]
    for text in said:
        tape.add(TextDelta(text), 0.0)
        tape.take()
    assert tape.speech is not None
    assert len(tape.speech.pieces) <= 4_096
    assert "".join(tape.speech.pieces) == "".join(said)
