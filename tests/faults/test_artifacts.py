"""A worker that is gone between two steps of a file that its run makes: there is one in the end, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.crashpoints import CRASHED
from tests.faults.filing import Filing, filing
from tests.faults.points import MAKING
from tests.faults.processes import Member, Stack
from tests.faults.waiting import until
from tests.file_runners import MADE
from tests.variants import one_of

pytestmark = pytest.mark.slow

STORING = ("file.after_begin", "file.before_rename", "file.after_bytes")
TELLING = ("worker.before_append", "worker.after_append")


async def call(s: Filing, member: Member, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {s.access.token}"}
    url = f"{member.url}/api/v1{path}"
    async with s.stack.session.request(method, url, json=body, headers=headers) as response:
        document = await response.json()
        assert response.status < 300, document
        return document


@pytest.mark.parametrize("isolation", one_of("inline", "process"))
@pytest.mark.parametrize("point", one_of(*MAKING, *STORING, *TELLING))
async def test_a_file_whose_worker_was_killed_is_there_once(
    stack: Stack, tmp_path: Path, point: str, isolation: str
) -> None:
    api = stack.api(files=str(tmp_path))
    broken = stack.worker(role="all", files=str(tmp_path), testing=f"crash:{point}")
    await stack.ready(api)
    async with filing(stack, tmp_path) as s:
        config = json.dumps({"function": "tests.file_runners:makes_one", "isolation": isolation})
        await s.db.execute("update agents set runner = 'python', config = $1", config)
        said = {"type": "user.message", "content": [{"type": "text", "text": "go"}]}
        made = await call(s, api, "POST", f"/agents/{s.access.agent}/threads", {"input": said})
        thread, run = made["thread"]["id"], made["run"]["id"]
        assert await broken.died() == CRASHED
        stack.worker(role="all", files=str(tmp_path))

        async def completed() -> bool:
            found = (await call(s, api, "GET", f"/threads/{thread}/runs/{run}"))["status"]
            assert found in ("queued", "booting", "running", "completed"), found
            return bool(found == "completed")

        await until("the run is completed", completed, 30)
        (file,) = (await call(s, api, "GET", f"/threads/{thread}/files"))["files"]
        assert await s.content(api, file["id"]) == MADE
        events = (await call(s, api, "GET", f"/threads/{thread}/events"))["events"]
        (changed,) = [event for event in events if event["type"] == "file.changed"]
        assert json.loads(changed["content"])["file"]["id"] == file["id"]
        await s.db.execute("update files set expires_at = now() - interval '1 second' where not ready")
        await s.sweep.run_once()
        assert await s.db.fetchval("select sum(files) = 1 and sum(bytes) = $1 from file_usage", len(MADE))
        await s.delete(api, file["id"])
        await s.pass_time()
        assert await s.nothing_is_left()
