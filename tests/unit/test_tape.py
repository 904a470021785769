"""A tape bounds what one run may say at once, however it is cut into pieces."""

import pytest

from shared import ids
from shared.events import Tokens
from shared.ids import RunId
from worker.execute.tape import Tape, TooLong
from worker.runners import MessageEnd, TextDelta, ThinkingDelta

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


def test_a_message_of_many_small_pieces_is_kept_in_few(tape: Tape) -> None:
    said = [f"{number} " for number in range(20_000)]
    for text in said:
        tape.add(TextDelta(text), 0.0)
        tape.take()
    assert tape.speech is not None
    assert len(tape.speech.pieces) <= 4_096
    assert "".join(tape.speech.pieces) == "".join(said)
