"""A host whose network drops its packets without a word: the other one goes on, and it comes back by itself."""

import asyncio
import sys

import pytest

from tests.faults.processes import ROOT
from tests.hosts.network import why_not

SHORT = ("--cut", "back")
LONG = (
    ("--cut", "to-servers"),
    ("--cut", "from-servers"),
    ("--cut", "all"),
    ("--cut", "back", "--forget"),
    ("--cut", "from-servers", "--forget", "--seconds", "30"),
)


@pytest.mark.parametrize(
    "arguments", [SHORT, *(pytest.param(each, marks=pytest.mark.long) for each in LONG)], ids=" ".join
)
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_host_that_is_cut_off_loses_its_work_to_the_other_and_comes_back(arguments: tuple[str, ...]) -> None:
    if reason := why_not():
        pytest.skip(reason)
    program = (sys.executable, "-m", "tests.hosts.outage", *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        told, faults = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()  # its servers and hosts end with it
            await process.wait()
    assert (process.returncode, faults.decode()) == (0, ""), told.decode()
