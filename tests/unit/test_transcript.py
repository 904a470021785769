"""What a run logs as running text."""

from datetime import UTC, datetime

from api.console.output import spelt
from shared import ids
from shared.effects import EventLogged
from shared.ids import EventId, RunId
from shared.inspect.transcript import Transcript

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = RunId(ids.mint())


def event(type_: str, text: str | None = None, message: EventId | None = None, tool: str | None = None) -> EventLogged:
    given = None if tool is None else {"path": "/"}
    return EventLogged(EventId(ids.mint()), type_, AT, RUN, text, message=message, tool_name=tool, tool_input=given)


def test_deltas_of_a_message_run_on_and_everything_else_has_a_line() -> None:
    one, other = EventId(ids.mint()), EventId(ids.mint())
    transcript = Transcript()
    told = [
        event("user.message", "hello"),
        event("run.started", RUN),
        event("agent.message.delta", "Let me ", one),
        event("agent.message.delta", "see.\n", one),
        event("tool.use.started", None, tool="ls"),
        event("agent.message.delta", "Done.", other),
    ]
    at = "── 2026-01-01 12:00:00.000"
    assert "".join(map(transcript.event, told)) == (
        f"{at} run.started\n\n{at} agent.message\nLet me see.\n\n{at} tool.use.started ls"
        f' {{"path": "/"}}\n\n{at} agent.message\nDone.'
    )
    assert Transcript("agent.message.delta", other).event(event("agent.message.delta", " More.", other)) == " More."


def test_text_goes_out_escaped_and_line_by_line() -> None:
    assert spelt("a\r\n</script>\n\n b") == (
        "event: piece\ndata: a⟨U+000D⟩\ndata: &lt;/script&gt;\ndata: \ndata:  b\n\n".encode()
    )
