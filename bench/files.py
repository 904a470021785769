"""`python -m bench.files`: what files cost an api: memory for one of 64 MiB, and others' answers beside 32 at once.

A program of its own: `python -m bench` measures what stands in its report. Clients are curl processes; the files lie in
a directory of the bench. 100 batches a second are accepted meanwhile, and their answers are judged. Exit codes: 0 both
bars are met, 1 they are not, or a run was unsound.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from bench import cpu
from bench.idle import paced
from bench.load import Answers
from bench.measure import ASYNC, warm_up
from bench.stack import Stack
from bench.subjects import Service

SIZE = 64 << 20  # bytes of a file: the most that an upload may have
AT_ONCE = 32
SECONDS = 12.0  # of a load of batches
UNDER_WAY = 2.0  # seconds for 32 clients to start: that costs the machine, not the api
MEMORY = 16.0  # MiB that one file may take at most
TIMES = 2.0  # by how much others' p99 may be longer
Call: TypeAlias = Callable[[], Awaitable[str | None]]
CURL = ("curl", "-sS", "--fail-with-body", "--noproxy", "*")


@dataclass(slots=True)
class Scene:
    service: Service
    agent: str
    source: Path

    async def upload(self) -> str:
        """The id of a new file."""
        path = f"agents/{self.agent}/files"
        said = json.loads(await self._curl(path, "-F", f"file=@{self.source}", "-o", "-"))
        return str(said["file"]["id"])

    async def download(self, file: str) -> None:
        await self._curl(f"files/{file}/content", "-o", "/dev/null")

    async def _curl(self, path: str, *options: str) -> bytes:
        url = f"http://127.0.0.1:{self.service.port}/api/v1/{path}"
        token = f"Authorization: Bearer {self.service.token}"
        process = await asyncio.create_subprocess_exec(
            *CURL, "-H", token, *options, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"curl ended with {process.returncode}: {said[-300:]!r}")
        return said


async def measure() -> bool:
    """Prints the figures; returns whether they are within the bars."""
    stack = await Stack.start()
    try:
        service = await Service.prepare(stack)
        source = stack.directory / "64MiB"
        await asyncio.to_thread(source.write_bytes, bytes(range(256)) * (SIZE // 256))
        await service.start(THREADMILL_FILES=str(stack.directory / "files"))
        agent = await service.db.fetchval("select id from agents limit 1")
        await warm_up(service)
        scene = Scene(service, agent, source)
        met = [await _memory(scene), await _latency(scene)]
        await service.stop()
        return all(met)
    finally:
        await stack.stop()


async def _memory(scene: Scene) -> bool:
    """One upload and one download at a time: the peak of the api's resident memory beyond what it had."""
    pid = scene.service.programs["api"].pid
    small = []
    await scene.upload()  # what the first one loads stays
    for what in ("upload", "download"):
        file = await scene.upload()
        before = await asyncio.to_thread(_forget_peak, pid)
        began = asyncio.get_running_loop().time()
        await (scene.upload() if what == "upload" else scene.download(file))
        took = asyncio.get_running_loop().time() - began
        extra = cpu.peak_mib(pid) - before
        print(f"{what} of 64 MiB: {took:.2f} s, {extra:.1f} MiB more at its peak (at most {MEMORY:g})")
        small.append(extra <= MEMORY)
    return all(small)


def _forget_peak(pid: int) -> float:
    """The peak is what it has now; returns that. See proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return cpu.resident_mib(pid)


async def _latency(scene: Scene) -> bool:
    """Batches alone, beside 32 uploads, beside 32 downloads."""
    alone = await paced(scene.service, SECONDS, ASYNC)
    print(f"accepts alone: p50 {alone.p50_ms:.1f} ms, p99 {alone.p99_ms:.1f} ms")
    pid = scene.service.programs["api"].pid
    before = await asyncio.to_thread(_forget_peak, pid)
    uploads, files = await _beside(scene, [scene.upload] * AT_ONCE)
    downloads, _ = await _beside(scene, [partial(scene.download, str(file)) for file in files])
    print(f"32 at once: {cpu.peak_mib(pid) - before:.1f} MiB more at the peak")
    met = True
    for what, answers in (("uploads", uploads), ("downloads", downloads)):
        times = answers.p99_ms / alone.p99_ms
        print(f"beside 32 {what}: p50 {answers.p50_ms:.1f} ms, p99 {answers.p99_ms:.1f} ms: {times:.2f}x")
        met = met and times <= TIMES
    return met


async def _beside(scene: Scene, calls: list[Call]) -> tuple[Answers, list[str | None]]:
    """A load of batches once all calls are under way, and what these gave first; each is made again until it ends."""
    over = asyncio.Event()

    async def again(call: Call) -> str | None:
        first = await call()
        while not over.is_set():
            await call()
        return first

    async with asyncio.TaskGroup() as group:
        moving = [group.create_task(again(call)) for call in calls]
        await asyncio.sleep(UNDER_WAY)
        answers = await paced(scene.service, SECONDS, ASYNC)
        over.set()
    return answers, [one.result() for one in moving]


def main() -> int:
    return 0 if asyncio.run(measure()) else 1


if __name__ == "__main__":
    sys.exit(main())
