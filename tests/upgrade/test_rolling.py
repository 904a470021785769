"""A version is exchanged for the next one under load, and for the one before it: nobody is refused, nothing is lost."""

from pathlib import Path

import pytest

from tests.faults.conftest import all_servers, servers
from tests.faults.servers import Servers
from tests.upgrade.rolling import Plan, rolling
from tests.upgrade.versions import NotInHistoryError, older, present

__all__ = ["all_servers", "servers"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.long
async def test_from_the_last_older_schema_to_this_one(servers: Servers, tmp_path: Path) -> None:
    try:
        assert older(tmp_path).schema < present().schema
    except NotInHistoryError as error:
        pytest.skip(str(error))
    report = await rolling(Plan(to="present", pause=1.0), servers, tmp_path)
    assert report.faults == [], report.line()


@pytest.mark.long
async def test_to_a_version_that_is_still_to_come_and_back(servers: Servers, tmp_path: Path) -> None:
    report = await rolling(Plan(to="following", back=True), servers, tmp_path)
    assert report.faults == [], report.line()
