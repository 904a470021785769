"""Files that threads and messages attach, over HTTP: every spelling, each refusal, retries, and how others see it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared import accounts, agents, ids
from shared.models import TokenKind
from shared.settings import Settings
from tests.contract.openai_calls import listed
from tests.service import Client, Reply, Service, message, running_api, running_service, said, upload

KEY = {"Idempotency_Key": "order-1"}
SEEDS = "file_01KQX0V62MEXAMPLE7W6X3B2A"  # the example's, which is no id of ours
# An id as a client may spell it, and where it stands in a message and in a create.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": "{}".format,
    "in lower case": str.lower,
    "as the seed has it": "file_{}".format,
    "both": lambda file: f"file_{file.lower()}",
}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "attachmentIds": lambda name: {"attachmentIds": [name]},
    "resources": lambda name: {"resources": [{"type": "file", "file_id": name}]},
    "files": lambda name: {"files": [{"file_id": name}]},
}
NONE = [
    *(SEEDS, "file_x", "file_" + "-" * 64, "file_" + "Z" * 26, ids.Ulid("7" + "Z" * 25), "file_" + "0" * 26),
    *("file_file_01J00000000000000000000009"[:69], "file_8" + "0" * 25),
]
MALFORMED: list[Any] = [
    *("", "file_", "file_" + "a" * 65, "photo.png", "01J0000000000000000000000I", "FILE_x", " file_x", "file_x\n"),
    *("file_a/../b", "file_é", "file_\u202ex", "file_%00", "file_'--", 1, None, {}, ["file_x"]),
]


async def draft(client: Client, name: str = "notes.txt") -> str:
    return str((await upload(client, name=name)).json["file"]["id"])


async def create(client: Client, body: dict[str, Any], **headers: str) -> Reply:
    return await client.call("POST", f"/agents/{client.agent}/threads", body, **headers)


async def files_of(client: Client, thread: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.call("GET", f"/threads/{thread}/files")).json["files"]
    return found


async def is_draft(service: Service, *files: str) -> bool:
    left = "select count(*) from files where id = any($1::uuid[]) and thread is null and expires_at > now()"
    return bool(await service.pool.fetchval(left, files) == len(files))


async def nothing_happened(service: Service) -> bool:
    rows = "(select count(*) from batches) + (select count(*) from threads) + (select count(*) from idempotency_keys)"
    return bool(await service.pool.fetchval(f"select {rows}") == 0)


@pytest.mark.parametrize("place", PLACES)
async def test_a_file_is_attached_whichever_way_its_client_spells_it(client: Client, place: str) -> None:
    idle = await client.new_thread()
    for spell in SPELLINGS.values():
        file = await draft(client)
        named = PLACES[place](spell(file))
        if place == "attachmentIds":
            reply = await client.send(idle, message("Read this.", **named))
            assert (reply.status, reply.json["warnings"][1:]) == (200, [])
            thread = idle
        else:
            reply = await create(client, {"input": said("Read this."), **named})
            assert (reply.status, set(reply.json)) == (201, {"links", "run", "thread"})
            thread = reply.json["thread"]["id"]
        last = (await files_of(client, thread))[-1]
        assert (last["id"], last["kind"], last["committed"]) == (file, "attachment", True)
        assert (await client.call("GET", f"/files/file_{file.lower()}")).json["file"]["id"] == file


async def test_a_thread_may_begin_with_files_alone(service: Service, client: Client) -> None:
    files = [await draft(client, f"{n}.txt") for n in range(3)]
    reply = await create(client, {"files": [{"file_id": file} for file in files]})
    assert (reply.status, reply.json["run"]) == (201, None)
    assert [file["id"] for file in await files_of(client, reply.json["thread"]["id"])] == files
    assert await service.pool.fetchval("select count(*) from messages") == 0


async def test_each_file_that_cant_be_attached_is_told_with_its_reason(service: Service, client: Client) -> None:
    async with service.pool.acquire() as db:
        mate = client.using((await accounts.create_token(db, client.account, TokenKind.HUMAN_PAT)).secret.text)
        other = await agents.create_agent(db, client.account, "other", "echo", published=True)
    stranger = await service.client("globex")
    foreign, mates, good = await draft(stranger), await draft(mate), await draft(client)
    path = f"/agents/{other.id}/files"
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    others = (await client.call("POST", path, body, Content_Type="multipart/form-data; boundary=b")).json["file"]["id"]
    taken, halfway = await draft(client), await draft(client)
    await service.pool.execute("update files set ready = false, sha256 = null where id = $1", halfway)
    thread = (await create(client, {"files": [{"file_id": taken}]})).json["thread"]["id"]
    before = (await client.call("GET", f"/threads/{thread}")).json, await files_of(client, thread)
    names = [SEEDS, foreign, f"file_{mates.lower()}", others, taken, halfway, good]
    words = (
        f"Attachment {SEEDS} was not found. Attachment {foreign} was not found. "
        f"Attachment file_{mates.lower()} was uploaded with another token. "
        f"Attachment {others} was uploaded to another agent. Attachment {taken} is attached already. "
        f"Attachment {halfway} is not ready: its upload is not over."
    )
    sent = await client.send(thread, message("a"), message("b", attachmentIds=names), **KEY)
    made = await create(client, {"input": said("a"), "files": [{"file_id": name} for name in names]}, **KEY)
    assert sent.error == made.error == (400, "invalid_request", words)
    assert ((await client.call("GET", f"/threads/{thread}")).json, await files_of(client, thread)) == before
    assert len((await client.call("GET", f"/agents/{client.agent}/threads")).json["threads"]) == 1
    assert await service.pool.fetchval("select count(*) from batches") == 1
    assert await is_draft(service, good, mates, others)
    again = await client.send(thread, message("a", attachmentIds=[good]), **KEY)
    assert again.status == 200, "a refused request reserves nothing"


async def test_ids_that_name_no_file_are_unknown_and_those_that_are_none_are_refused_by_their_place(
    service: Service, client: Client
) -> None:
    for name in NONE:
        reply = await create(client, {"files": [{"file_id": name}]}, **KEY)
        assert reply.error == (400, "invalid_request", f"Attachment {name} was not found.")
    for malformed in MALFORMED:
        reply = await create(client, {"resources": [{"type": "file", "file_id": malformed}]}, **KEY)
        assert reply.error[:2] == (400, "invalid_request"), malformed
        assert reply.error[2].startswith("resources.0.file_id "), malformed
    assert await nothing_happened(service)


async def test_a_request_attaches_each_file_once_and_100_at_most(service: Service, client: Client) -> None:
    file = await draft(client)
    twice = [[file, file], [file, file.lower()], [f"file_{file}", file]]
    for names in twice:
        reply = await create(client, {"files": [{"file_id": name} for name in names]})
        assert reply.error == (400, "invalid_request", f"Attachment {names[1]} is named twice.")
    await service.pool.execute(
        "insert into files (id, account, agent, token, kind, name, mime_type, ready, sha256, expires_at)"
        " select gen_random_uuid(), account, agent, token, kind, name, mime_type, ready, sha256, expires_at"
        " from files, generate_series(1, 100) where id = $1",
        file,
    )
    many = [row["id"] for row in await service.pool.fetch("select id from files")]
    thread = await client.new_thread()
    texts = [message("a", attachmentIds=many[:50]), message("b", attachmentIds=many[50:])]
    assert (await client.send(thread, *texts)).error[2] == "A request may attach 100 files at most."
    assert await is_draft(service, *many)
    assert (await client.send(thread, texts[0], message("b", attachmentIds=many[50:100]))).status == 200
    assert len(await files_of(client, thread)) == 100


async def test_a_service_token_may_not_attach(service: Service, client: Client) -> None:
    file, thread = await draft(client), await client.new_thread()
    async with service.pool.acquire() as db:
        made = await accounts.create_token(db, client.account, TokenKind.SERVICE_TOKEN)
    machine = client.using(made.secret.text)
    refused = (403, "forbidden", "A service token can't attach files.")
    assert (await create(machine, {"files": [{"file_id": file}]})).error == refused
    assert (await machine.send(thread, message("a", attachmentIds=[file]))).error == refused
    assert (await machine.send(thread, message("a", attachmentIds=[]))).status == 200
    assert await is_draft(service, file)


async def test_a_retried_create_with_files_is_the_original_answer_in_either_spelling(client: Client) -> None:
    file, other = await draft(client), await draft(client)
    first = await create(client, {"input": said("a"), "files": [{"file_id": file}]}, **KEY)
    again = {"input": said("a"), "resources": [{"type": "file", "file_id": f"file_{file.lower()}"}]}
    second = await create(client, again, **KEY)
    assert (second.status, second.body, second.headers["idempotency-replayed"]) == (201, first.body, "true")
    assert (await create(client, again | {"resources": None}, **KEY)).error[:2] == (409, "idempotency_conflict")
    swapped = await create(client, {"input": said("a"), "files": [{"file_id": other}]}, **KEY)
    assert swapped.error[:2] == (409, "idempotency_conflict")
    assert (await create(client, again)).error[2] == f"Attachment file_{file.lower()} is attached already."
    await client.call("DELETE", f"/files/{file}")
    assert (await create(client, again, **KEY)).body == first.body
    assert len((await client.call("GET", f"/agents/{client.agent}/threads")).json["threads"]) == 1


async def test_of_twenty_creates_at_once_one_has_the_file(settings: Settings) -> None:
    async with running_service(settings) as service, running_api(settings) as second, running_api(settings) as third:
        client = await service.client("acme")
        file = await draft(client)
        callers = [Client(client.session, url, *_rest(client)) for url in (service.url, second, third)]
        replies = await asyncio.gather(
            *(create(callers[n % 3], {"input": said(str(n)), "files": [{"file_id": file}]}) for n in range(20))
        )
        (won,) = [reply for reply in replies if reply.status == 201]
        lost = (400, "invalid_request", f"Attachment {file} is attached already.")
        assert [reply.error for reply in replies if reply is not won] == [lost] * 19
        assert [one["id"] for one in await files_of(client, won.json["thread"]["id"])] == [file]
        assert await service.pool.fetchval("select count(*) from threads") == 1


def _rest(client: Client) -> tuple[Any, ...]:
    return client.account, client.token_id, client.token, client.agent


async def test_a_file_is_committed_once_its_batch_is_applied(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        file = await draft(client)
        reply = await create(client, {"input": said("a"), "files": [{"file_id": file}]}, Prefer="respond-async")
        thread = reply.json["thread"]["id"]
        assert [one["committed"] for one in await files_of(client, thread)] == [False]
        gone = await client.send(str(ids.mint()), message("a", attachmentIds=[SEEDS]))
        assert gone.error[:2] == (404, "not_found"), "the thread comes first"


async def test_other_dialects_show_the_text_of_a_message_that_has_files(client: Client) -> None:
    file = await draft(client)
    thread = (await create(client, {"input": said("Read this."), "files": [{"file_id": file}]})).json["thread"]["id"]
    for path in (f"/v1/threads/{thread}/messages", f"/threads/{thread}/messages"):
        (one,) = await listed(client, path)
        texts = [part["text"] for part in one["content"]]
        assert [text["value"] if isinstance(text, dict) else text for text in texts] == ["Read this."]
