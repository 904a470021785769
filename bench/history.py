"""Does a thread cost more as its history grows? One thread with a long past, one with none, the same load on each.

The past is made by set-based inserts: as many runs, messages and log entries. Messages and interrupts come in
equal numbers here, so that neither thread's queue of runs fills up.
"""

from bench.load import Load
from bench.measure import Run, Say, line, measure, warm_up
from bench.subjects import Service
from shared import ids

CLIENTS = 16


async def compare_histories(service: Service, events: int, seconds: float, rounds: int, say: Say) -> list[Run]:
    """Runs of variants `empty` and `long`, interleaved. Raises Unsound, LoadError, TimeoutError."""
    await service.reset()
    empty, long = await service.add_threads(2)
    await _fill(service, long, events)
    say(f"history: one thread has {events} runs, messages and events")
    runs: list[Run] = []
    await service.start()
    try:
        await warm_up(service)
        for round_ in range(rounds):
            for variant, thread in (("empty", empty), ("long", long)):
                load = Load(
                    port=service.port,
                    token=service.token,
                    threads=[thread],
                    clients=CLIENTS,
                    seconds=seconds,
                    messages=45,
                    interrupts=45,
                    seed=round_,
                )
                runs.append(await measure(service, variant, load, fresh=False))
                say(line(runs[-1]))
    finally:
        await service.stop()
    return runs


async def _fill(service: Service, thread: str, events: int) -> None:
    place = service.partition_of(thread)
    for name in ("add_history_runs", "add_history_messages"):
        await service.db.execute(service.tables[name], place, thread, events)
    await service.db.execute(service.tables["add_history_events"], place, thread, events, ids.mint())
    await service.db.execute(service.tables["set_history"], place, thread, events)
    for table in ("runs", "messages", "thread_events"):
        await service.db.execute(f"vacuum analyze {table}")
