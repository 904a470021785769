"""What one transaction changes: the effects of the core, each record once, whoever stepped.

Of several effects on one record the last one counts; a run that was made and moved in one drain is made as it ended.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from shared.effects import (
    ClientRequestSeen,
    Effect,
    EventLogged,
    FileAnnounced,
    InputEdited,
    MessageAmended,
    MessageRemoved,
    MessageWritten,
    RequestOpened,
    RequestSettled,
    RunCreated,
    RunKept,
    RunMoved,
    SteerOffered,
    SteerSettled,
    ThreadAmended,
)
from shared.ids import MessageId, RequestId, RunId, ThreadId
from shared.models import Run, RunStatus, Steer, Thread
from worker.rows import Where

AT_WORK = frozenset({RunStatus.BOOTING, RunStatus.RUNNING})


@dataclass(slots=True)
class Changes:
    """All that one transaction writes, each record once; `before` are the threads as they were read.

    `hooked` are the threads whose agents' webhooks are told of moved runs: `load_states` says which.
    """

    hooked: Collection[ThreadId]
    threads: dict[ThreadId, Thread] = field(default_factory=dict)
    before: dict[ThreadId, Thread] = field(default_factory=dict)
    created: dict[RunId, tuple[Where, RunCreated]] = field(default_factory=dict)
    moved: dict[RunId, tuple[Where, Run]] = field(default_factory=dict)
    edited: dict[RunId, tuple[Where, str]] = field(default_factory=dict)
    logged: list[tuple[Where, EventLogged]] = field(default_factory=list)
    written: dict[MessageId, tuple[Where, MessageWritten]] = field(default_factory=dict)
    opened: list[tuple[Where, RequestOpened]] = field(default_factory=list)
    settled: dict[RequestId, tuple[Where, RequestSettled]] = field(default_factory=dict)
    steers: dict[RunId, tuple[Where, Steer]] = field(default_factory=dict)
    kept: list[tuple[Where, RunKept]] = field(default_factory=list)
    client_requests: list[tuple[Where, ClientRequestSeen]] = field(default_factory=list)
    announced: list[FileAnnounced] = field(default_factory=list)
    amended: list[tuple[Where, MessageAmended | MessageRemoved | ThreadAmended]] = field(default_factory=list)
    gone: set[MessageId] = field(default_factory=set)  # messages that were removed before a run collected the others
    ended: list[tuple[int, ThreadId, int]] = field(default_factory=list)  # leases, by their epochs
    interrupted: list[tuple[int, ThreadId, int]] = field(default_factory=list)  # those of them whose runs are not over

    def change(self, before: Thread, after: Thread) -> None:
        if after is not before:
            self.threads[after.id] = after
            self.before.setdefault(after.id, before)

    def add(self, where: Where, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case EventLogged():
                    self.logged.append((where, effect))
                case RunMoved(run):
                    self._move(where, run)
                case RunCreated(run):
                    self.created[run.id] = (where, self._resolved(where, effect))
                case MessageWritten():
                    self.written[effect.id] = (where, effect)
                case _:
                    self._add_rarer(where, effect)

    def _add_rarer(
        self,
        where: Where,
        effect: RunKept
        | FileAnnounced
        | InputEdited
        | ClientRequestSeen
        | RequestOpened
        | RequestSettled
        | SteerOffered
        | SteerSettled
        | MessageAmended
        | MessageRemoved
        | ThreadAmended,
    ) -> None:
        match effect:
            case InputEdited(edited, text):
                self.edited[edited] = (where, text)
            case FileAnnounced():
                self.announced.append(effect)
            case RunKept():
                self.kept.append((where, effect))
            case MessageAmended() | MessageRemoved() | ThreadAmended():
                self.amended.append((where, effect))
            case ClientRequestSeen():
                self.client_requests.append((where, effect))
            case RequestOpened():
                self.opened.append((where, effect))
            case RequestSettled(request):
                self.settled[request.id] = (where, effect)
            case SteerOffered(steer) | SteerSettled(steer):
                self.steers[steer.run] = (where, steer)

    def _move(self, where: Where, run: Run) -> None:
        if run.id in self.created:
            self.created[run.id] = (where, self.created[run.id][1]._replace(run=run))
        else:
            self.moved[run.id] = (where, run)

    def _resolved(self, where: Where, made: RunCreated) -> RunCreated:
        """A retry of a run that this same transaction makes: no statement finds its messages yet. A run that collects
        takes what this transaction has written of the thread so far; what comes behind it waits for the next one.
        """
        if made.collects:
            return self._collected(where, made)
        if made.retries not in self.created:
            return made
        first = self.created[made.retries][1]
        return made._replace(
            input=first.input, retries=first.retries, collects=first.collects, overtaken=first.overtaken
        )

    def _collected(self, where: Where, made: RunCreated) -> RunCreated:
        removed = {one.id for at, one in self.amended if at == where and isinstance(one, MessageRemoved)}
        alone = not any(at == where and one.collects for at, one in self.created.values())
        if alone:
            self.gone |= removed
        answered: list[MessageId] = []
        overtaken = False
        for name, (at, message) in self.written.items():
            if at != where or message.run is not None or name in removed:
                continue
            if message.role == "user":
                answered.append(name)
                self.written[name] = (where, message._replace(run=made.run.id))
            else:
                answered, overtaken = [], True
        return made._replace(input=tuple(answered), collects=alone, overtaken=overtaken)


def ready_of(changes: Changes) -> list[Where]:
    """Threads whose current run waits for a worker, and did not before."""
    return [
        (thread.partition, thread.id)
        for thread in changes.threads.values()
        if thread.ready_at is not None and thread.ready_at != changes.before[thread.id].ready_at
    ]


def news_of(changes: Changes, statuses: dict[RunId, RunStatus]) -> list[ThreadId]:
    """Threads whose run was at work and was ended by somebody else, or was offered a message."""
    ended = [where[1] for where, run in changes.moved.values() if run.terminal and statuses[run.id] in AT_WORK]
    return [*ended, *(where[1] for where, steer in changes.steers.values() if not steer.settled)]
