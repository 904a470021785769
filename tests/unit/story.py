"""One thread, told event by event: each a second after the last one, over a ledger that checks every write."""

from datetime import datetime, timedelta

from shared.effects import Effect, EventLogged, Result
from shared.events import Event, UserMessage
from shared.ids import RequestId, RunId, Ulid
from shared.lifecycle import Step
from shared.models import BusyPolicy, PermissionRequest, Run, RunStatus, Thread
from shared.reports import Ask, RunFinished, RunLeased, RunnerEvent, RunStarted, RunWaits
from tests.unit.ledger import NOON, Ledger, number


class Story:
    def __init__(self, policy: BusyPolicy = BusyPolicy.QUEUE) -> None:
        self.ledger = Ledger(policy)
        self.now = NOON
        self.minted = 100

    @property
    def thread(self) -> Thread:
        return self.ledger.thread

    def tell(self, event: Event | RunnerEvent, accepted_at: datetime | None = None) -> Step:
        self.now += timedelta(seconds=1)
        return self.ledger.tell([event], self.now, accepted_at)[0]

    def say(self, text: str = "hello", on_busy: BusyPolicy | None = None, client_request_id: str | None = None) -> Step:
        return self.tell(UserMessage(RunId(self.mint()), text, client_request_id, on_busy))

    def queued(self) -> Run:
        """A new run at the end of the queue."""
        return some(self.say(on_busy=BusyPolicy.QUEUE).result)

    def booting(self) -> Run:
        """The current run, leased; a new one where there is none."""
        run = self.ledger.active[0] if self.ledger.active else self.queued()
        return some(self.tell(RunLeased(run.id)).result)

    def running(self) -> Run:
        return some(self.tell(RunStarted(self.booting().id)).result)

    def waiting(self, *expires_at: datetime | None) -> tuple[Run, list[RequestId]]:
        """The current run, waiting for one permission, or for one for each time given."""
        run = self.running()
        asks = [Ask(RequestId(self.mint()), "May I?", "shell", {"cmd": "ls"}, at) for at in expires_at or (None,)]
        return some(self.tell(RunWaits(run.id, tuple(asks))).result), [ask.id for ask in asks]

    def completed(self) -> Run:
        return some(self.tell(RunFinished(self.running().id)).result)

    def in_status(self, status: RunStatus) -> Run:
        """The current run, in a status that is not terminal."""
        match status:
            case RunStatus.QUEUED:
                return self.queued()
            case RunStatus.BOOTING:
                return self.booting()
            case RunStatus.RUNNING:
                return self.running()
            case _:
                return self.waiting()[0]

    def run(self, run: RunId) -> Run:
        return self.ledger.runs[run]

    def request(self, request: RequestId) -> PermissionRequest:
        return self.ledger.requests[request]

    def mint(self) -> Ulid:
        self.minted += 1
        return number(self.minted)


def some(result: Result) -> Run:
    assert result.run is not None
    return result.run


def codes(step: Step) -> list[str]:
    return [warning.code.value for warning in step.result.warnings]


def logged(effects: tuple[Effect, ...]) -> list[tuple[str, str | None]]:
    """The types of the logged events and their runs."""
    return [(effect.type, effect.run) for effect in effects if isinstance(effect, EventLogged)]
