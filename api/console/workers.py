"""Workers and apis: what each is and does; workers are asked to take nothing new, to leave, or to work again."""

from collections.abc import Awaitable, Callable

from api.console.pages import Deed, Done, Form, Look, Page, Question, Values
from shared import ids
from shared.audit import Actor
from shared.errors import NotFound
from shared.ids import Ulid
from shared.inspect import fleet
from shared.inspect.actions import workers as actions
from shared.inspect.fleet import WorkerView, find_worker
from shared.keys import Keys
from shared.queue import Queue
from shared.vitals import LIVES

WORKERS_PAGE = "/console/workers"
LISTED = 100

_SAYS = {
    "quiet": ("It takes nothing new, and goes on with what it has in hand.", "It can be told to work again."),
    "drain": (
        "It takes nothing new, hands its runs over to other workers, and ends, as for SIGTERM.",
        "There is no way back: whoever supervises it may start another one.",
    ),
    "work": ("It takes batches and runs again.",),
}
_DONE = {
    "quiet": "takes nothing new from now on",
    "drain": "hands over what it has and ends",
    "work": "works again",
}


async def load(look: Look) -> Values:
    workers = await fleet.workers(look.db, LISTED, look.after)
    apis = await fleet.apis(look.db, LISTED, look.text("apis_after") or None)
    return {
        "workers": workers,
        "apis": apis,
        "lives": LIVES,
        "versions": sorted(fleet.versions([*workers.items, *apis.items])),
    }


WORKERS = Page("workers", "Workers", load)


async def _worker(look: Look) -> WorkerView:
    found = ids.parse(look.text("worker"))
    if found is None:
        raise NotFound(f"There is no worker {look.text('worker')!r}.")
    return await find_worker(look.db, Ulid(found))


def _question(word: str) -> Callable[[Look], Awaitable[Question]]:
    async def ask(look: Look) -> Question:
        one = await _worker(look)
        missed = None if word == "work" else await fleet.missed(look.db, one)
        return Question(
            f"Tell the worker {one.name} to {'be quiet' if word == 'quiet' else word}?",
            (
                *_SAYS[word],
                *([missed] if missed else ()),
                *(() if one.lives else ("It has fallen silent: it will not hear this.",)),
            ),
            button=word.capitalize(),
            back=WORKERS_PAGE,
            touches=f"1 worker with {_many(one.executing, 'run')} and {_many(one.in_hand, 'batch', 'batches')} in hand",
            danger=word == "drain" or missed is not None,
        )

    return ask


def _many(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _deed(word: str) -> Callable[[Look, Form, Actor], Awaitable[Done]]:
    act = {"quiet": actions.quiet, "drain": actions.drain, "work": actions.work}[word]

    async def do(look: Look, form: Form, actor: Actor) -> Done:
        one = await _worker(look)
        queue = Queue(look.redis, Keys(look.settings.redis_prefix))
        await act(look.db, actor, one.id, queue)
        return Done(f"The worker {one.name} {_DONE[word]}.", WORKERS_PAGE)

    return do


DEEDS = {f"{WORKERS_PAGE}/{{worker}}/{word}": Deed(_question(word), _deed(word)) for word in _SAYS}
