"""Conversations with `echo` that go on while workers come and go, and the verdict on what was said in them."""

import asyncio
import random
from dataclasses import dataclass, field

from tests.faults.executions import rows
from tests.faults.executions.answers import echoed
from tests.faults.executions.rows import Rows
from tests.faults.executions.stage import Stage

LENGTHS = (4, 9)  # seconds that a run counts
LONGEST = 300.0  # seconds for a run to end: it may lose its worker again and again
QUIET = 10.0  # seconds after the last run in which every lease must be gone


@dataclass(slots=True)
class Talk:
    """What was asked, and where; `over` ends it behind the runs that are under way."""

    texts: dict[str, str] = field(default_factory=dict)  # run -> the text it answers
    threads: dict[str, str] = field(default_factory=dict)  # run -> its thread
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def converse(self, s: Stage, thread: str, rng: random.Random) -> None:
        """One message behind the other, until it is over."""
        while not self.over.is_set():
            text = f"/slow {rng.randint(*LENGTHS)} said as number {len(self.texts)}"
            await s.ended(thread, await self.say(s, thread, text), within=LONGEST)

    async def say(self, s: Stage, thread: str, text: str) -> str:
        run = await s.say(thread, text)
        self.texts[run], self.threads[run] = text, thread
        return run

    async def judge(self, s: Stage) -> tuple[Rows, list[str]]:
        """The rows after quiet, and every fault in them. All runs must be over."""
        await s.unleased(QUIET)
        found = await rows.read(s.db)
        outputs = {run: await s.run(thread, run) for run, thread in self.threads.items()}
        finals = {run: (document["finalOutput"] or {}).get("text") for run, document in outputs.items()}
        return found, [*rows.check(found), *check_texts(found, self.texts, finals)]


def check_texts(found: Rows, texts: dict[str, str], finals: dict[str, str | None]) -> list[str]:
    """What each run said, and its final output, are exactly what `echo` answers; of a lost run, a beginning of it."""
    faults = [] if {run.id for run in found.runs} == set(texts) else ["there are other runs than those asked for"]
    logs = found.logs()
    for run in found.runs:
        expected, said = echoed(texts.get(run.id, "")), rows.spoken(logs[run.id])
        if run.status == "completed" and (said, finals.get(run.id)) != (expected, expected):
            faults.append(f"run {run.id} said {said!r} ({finals.get(run.id)!r}), expected {expected!r}")
        elif run.error == "runtime.lost" and not (run.is_lost and expected.startswith(said)):
            faults.append(f"run {run.id} was lost at attempt {run.attempt} ({run.losses} in all) with {said!r}")
        elif run.status != "completed" and run.error != "runtime.lost":
            faults.append(f"run {run.id} ended {run.status} ({run.error})")
    return faults
