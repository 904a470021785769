"""A run that is tried again: the log after it is what one attempt alone would have written."""

from hypothesis import given
from hypothesis import strategies as st

from shared import ids
from shared.ids import EventId, RunId
from shared.reports import Entry, Made, RunOutput, Spoken
from worker.execute.replay import RESTARTED, Logged, Replay
from worker.execute.tape import TEXT, Tape
from worker.runners import Checkpoint, MessageEnd, TextDelta, ThinkingDelta, ToolCompleted, ToolStarted
from worker.runners.outputs import Plain

RUN = RunId(ids.mint())

pieces = st.text("abc ", min_size=1, max_size=4)
numbers = st.integers(0, 3).map(str)
outputs = st.lists(
    st.one_of(
        pieces.map(TextDelta),
        pieces.map(TextDelta),
        pieces.map(ThinkingDelta),
        st.just(MessageEnd()),
        numbers.map(lambda n: ToolStarted(n, "tool")),
        numbers.map(lambda n: ToolCompleted(n, "done")),
    ),
    max_size=12,
)


class Log:
    """What a thread's log and messages hold of one run, as appends write them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.messages: list[Spoken] = []

    def append(self, tape: Tape) -> None:
        """Writes all that the tape holds, in one transaction."""
        for report in tape.take():
            assert isinstance(report, RunOutput)
            self.entries += report.entries
            self.messages += report.messages

    def replay(self) -> Replay:
        tail = [Logged(e.type, e.content or "", e.tool_call_id, e.message) for e in self.entries]
        return Replay.of(tail, None, {message.id for message in self.messages})

    def text(self, message: EventId) -> str:
        return "".join(e.content or "" for e in self.entries if e.type == TEXT and e.message == message)

    def kinds(self) -> list[tuple[str, str]]:
        """Events without the pieces that texts came in."""
        kinds: list[tuple[str, str]] = []
        for entry in self.entries:
            known = entry.content if entry.type.endswith("delta") else entry.tool_call_id
            if kinds and entry.type.endswith("delta") and kinds[-1][0] == entry.type:
                kinds[-1] = (entry.type, kinds[-1][1] + (known or ""))
            else:
                kinds.append((entry.type, known or ""))
        return kinds


def attempt(log: Log, said: list[Plain], *, lost: int | None = None, every: int = 1) -> None:
    """One attempt, driven as an execution does; each `every` outputs are written, and those not written when its worker
    is lost, after `lost` outputs, never are.
    """
    tape, replay = Tape(RUN), log.replay() if log.entries else None
    for n, output in enumerate(said[:lost], 1):
        left: Plain | Made | None = output
        if replay is not None:
            left, same = replay.swallow(output)
            if not same and (cut := replay.differ()) is not None:
                tape.keep(cut)
            if replay.over:
                tape.speech, replay = replay.speech, None
        if left is not None:
            tape.add(left, 0.0)
        if n % every == 0:
            log.append(tape)
    if lost is not None:
        return
    if replay is not None:
        if (cut := replay.differ()) is not None:
            tape.keep(cut)
        tape.speech = replay.speech
    tape.end_message()
    log.append(tape)


@given(outputs, st.data())
def test_an_attempt_that_repeats_itself_leaves_the_log_of_one_attempt(said: list[Plain], data: st.DataObject) -> None:
    alone, broken = Log(), Log()
    attempt(alone, said)
    for _ in range(data.draw(st.integers(0, 2))):
        attempt(broken, said, lost=data.draw(st.integers(0, 12)), every=data.draw(st.integers(1, 4)))
    attempt(broken, said)
    assert broken.kinds() == alone.kinds()
    assert [message.text for message in broken.messages] == [message.text for message in alone.messages]
    assert all(message.incomplete is None for message in broken.messages)


@given(outputs, outputs, st.integers(0, 12), st.integers(1, 4))
def test_every_message_of_the_log_is_kept_once_with_exactly_its_text(
    first: list[Plain], second: list[Plain], lost: int, every: int
) -> None:
    log = Log()
    attempt(log, first, lost=lost, every=every)
    before = list(log.entries)
    attempt(log, second)
    assert log.entries[: len(before)] == before
    spoken = {entry.message for entry in log.entries if entry.type == TEXT}
    assert sorted(message.id for message in log.messages) == sorted(str(message) for message in spoken)
    for message in log.messages:
        assert message.text == log.text(EventId(message.id))
    assert {message.incomplete for message in log.messages} <= {None, RESTARTED}


@given(outputs, outputs, st.integers(0, 12), st.integers(1, 4))
def test_what_the_last_attempt_says_is_whole_in_the_log(
    first: list[Plain], second: list[Plain], lost: int, every: int
) -> None:
    """The part that repeats the first one stands there already, the rest behind all of that."""
    log = Log()
    attempt(log, first, lost=lost, every=every)
    before = "".join(entry.content or "" for entry in log.entries if entry.type == TEXT)
    attempt(log, second)
    said = "".join(output.text for output in second if isinstance(output, TextDelta))
    added = "".join(entry.content or "" for entry in log.entries if entry.type == TEXT).removeprefix(before)
    assert said.endswith(added)
    assert before.startswith(said.removesuffix(added))


def test_a_checkpoint_that_is_repeated_is_behind_the_log_already() -> None:
    log = Log()
    attempt(log, [TextDelta("one "), TextDelta("two ")], lost=2)
    replay = log.replay()
    assert replay.swallow(Checkpoint(1)) == (None, True)
    assert replay.swallow(TextDelta("one two three")) == (TextDelta("three"), True)
    assert replay.over
    assert replay.swallow(Checkpoint(2)) == (Checkpoint(2), True)
