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
from statistics import median
from typing import TypeAlias

from bench import cpu
from bench.idle import paced
from bench.load import Answers
from bench.measure import ASYNC, warm_up
from bench.stack import Stack
from bench.subjects import Service
from shared.tasks import end

SIZE = 64 << 20  # bytes of a file: the most that an upload may have
AT_ONCE = 32
SECONDS = 8.0  # of a load of batches
ROUNDS = 3
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
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
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
    """Batches alone, beside 32 uploads and beside 32 downloads, in turn; the median of the rounds' ratios counts."""
    file = await scene.upload()
    ratios: dict[str, list[float]] = {"uploads": [], "downloads": []}
    for _ in range(ROUNDS):
        alone = await paced(scene.service, SECONDS, ASYNC)
        print(f"accepts alone: {_shown(alone)}")
        for what, call in (("uploads", scene.upload), ("downloads", partial(scene.download, file))):
            beside = await _beside(scene, call)
            ratios[what].append(beside.p99_ms / alone.p99_ms)
            print(f"beside {AT_ONCE} {what}: {_shown(beside)}: {ratios[what][-1]:.2f}x")
    for what, found in ratios.items():
        print(f"{AT_ONCE} {what} at once: p99 {median(found):.2f}x, the median of {ROUNDS} (at most {TIMES:g})")
    return all(median(found) <= TIMES for found in ratios.values())


async def _beside(scene: Scene, call: Call) -> Answers:
    """A load of batches once all calls are under way; each is made again and again until the load is over."""

    async def again() -> None:
        while True:
            await call()

    moving = [asyncio.create_task(again()) for _ in range(AT_ONCE)]
    try:
        await asyncio.sleep(UNDER_WAY)
        return await paced(scene.service, SECONDS, ASYNC)
    finally:
        await end(moving)
        moved = cpu.peak_mib(scene.service.programs["api"].pid)
        print(f"the api's memory at its peak so far: {moved:.0f} MiB")


def _shown(answers: Answers) -> str:
    return f"p50 {answers.p50_ms:.1f} ms, p99 {answers.p99_ms:.1f} ms"


def main() -> int:
    return 0 if asyncio.run(measure()) else 1


if __name__ == "__main__":
    sys.exit(main())
