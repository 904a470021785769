"""The log of a thread over HTTP: its order, its pages and their cursors, the deltas of a message as one entry."""

from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from api.dialects.mosoo import answers
from shared import ids
from tests.pipeline import PARTITIONS
from tests.service import Client, Service, message

Logged = tuple[str | None, str, str, str | None]  # run, type, content, message


async def test_the_log_is_oldest_first_and_its_ids_are_cursors(client: Client) -> None:
    thread = await client.new_thread()
    for n in range(4):
        await client.send(thread, message(f"m{n}"))
    path = f"/threads/{thread}/events"
    whole = await client.call("GET", path)
    TypeAdapter(answers.Events).validate_json(whole.body)
    entries = whole.json["events"]
    assert [e["content"] for e in entries if e["type"] == "user.message"] == ["m0", "m1", "m2", "m3"]
    assert [e["id"] for e in entries] == sorted(e["id"] for e in entries)
    newest = (await client.call("GET", f"{path}?limit=2")).json
    assert newest == {"events": entries[-2:], "truncated": True}
    after = (await client.call("GET", f"{path}?limit=2&after={entries[0]['id']}")).json
    assert after == {"events": entries[1:3], "truncated": len(entries) > 3}
    assert (await client.call("GET", f"{path}?after={entries[-1]['id']}")).json == {"events": [], "truncated": False}


async def test_the_deltas_of_a_message_are_one_entry(service: Service, client: Client) -> None:
    made = (await client.create("hello")).json
    thread, run = made["thread"]["id"], made["run"]["id"]
    before = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    thought, first, second = str(ids.mint()), str(ids.mint()), str(ids.mint())
    logged = await log(
        service,
        thread,
        [
            (run, "agent.thinking.delta", "hm", thought),
            (run, "agent.message.delta", "Hel", first),
            (None, "user.message", "meanwhile", None),
            (run, "agent.message.delta", "lo", first),
            (run, "tool.use.started", "search", None),
            (run, "agent.thinking.delta", " so", thought),
            (run, "agent.message.delta", ".", first),
            (run, "agent.message.delta", "Bye", second),
            (run, "run.completed", run, None),
        ],
    )
    page = (await client.call("GET", f"/threads/{thread}/events")).json
    wanted = [
        (logged[2], "user.message", "meanwhile"),
        (logged[4], "tool.use.started", "search"),
        (logged[5], "agent.thinking.delta", "hm so"),
        (logged[6], "agent.message.delta", "Hello."),
        (logged[7], "agent.message.delta", "Bye"),
        (logged[8], "run.completed", run),
    ]
    assert shown(page["events"][len(before) :]) == wanted
    for limit in range(1, 7):
        newest = (await client.call("GET", f"/threads/{thread}/events?limit={limit}")).json
        assert shown(newest["events"]) == wanted[-limit:]
    for limit in (1, 2, 3):
        entries = await walked(client, thread, before[-1]["id"], limit)
        assert "".join(text for _, kind, text in entries if kind == "agent.message.delta") == "Hello.Bye"
        assert "".join(text for _, kind, text in entries if kind == "agent.thinking.delta") == "hm so"
        assert sorted(kind for _, kind, _ in entries if ".delta" not in kind) == [
            "run.completed",
            "tool.use.started",
            "user.message",
        ]


async def test_a_message_that_is_told_in_thousands_of_deltas_is_one_entry(service: Service, client: Client) -> None:
    made = (await client.create("hello")).json
    thread, run = made["thread"]["id"], made["run"]["id"]
    told = str(ids.mint())
    await log(service, thread, [(run, "agent.message.delta", f"{n} ", told) for n in range(3_000)])
    page = (await client.call("GET", f"/threads/{thread}/events?limit=1")).json
    (entry,) = page["events"]
    assert entry["content"] == "".join(f"{n} " for n in range(3_000))
    assert page["truncated"] is True


async def test_a_page_reads_a_message_behind_much_else(service: Service, client: Client) -> None:
    made = (await client.create("hello")).json
    thread, run = made["thread"]["id"], made["run"]["id"]
    told = str(ids.mint())
    between: list[Logged] = [(run, "tool.use.started", "search", None)] * 2_000
    ends: list[Logged] = [(run, "agent.message.delta", text, told) for text in ("What I found", ": nothing.")]
    await log(service, thread, [ends[0], *between, ends[1]])
    page = (await client.call("GET", f"/threads/{thread}/events?limit=3")).json
    assert [entry["content"] for entry in page["events"]] == ["search", "search", "What I found: nothing."]


def shown(entries: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(entry["id"], entry["type"], entry["content"]) for entry in entries]


async def walked(client: Client, thread: str, after: str, limit: int) -> list[tuple[str, str, str]]:
    """Everything behind a cursor, read page by page."""
    entries: list[tuple[str, str, str]] = []
    while True:
        page = (await client.call("GET", f"/threads/{thread}/events?limit={limit}&after={after}")).json
        entries += shown(page["events"])
        if not page["truncated"]:
            return entries
        after = page["events"][-1]["id"]


async def log(service: Service, thread: str, events: list[Logged]) -> list[str]:
    """Writes events to a thread's log, as a runner's output comes there; returns their ids."""
    start = datetime.now(UTC)
    times = [start + timedelta(milliseconds=n) for n in range(len(events))]
    logged = [str(ids.at(time)) for time in times]
    rows = [
        (ids.partition_of(thread, PARTITIONS), thread, id_, run, kind, content, time, message)
        for id_, time, (run, kind, content, message) in zip(logged, times, events, strict=True)
    ]
    async with service.pool.acquire() as db:
        await db.executemany(
            "insert into thread_events (partition, thread, id, run, type, content, occurred_at, message)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8)",
            rows,
        )
    return logged
