"""A pool of children, none of which outlives its test."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.isolation.children import children
from worker.runners.pool import Pool


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()
    assert not children()
