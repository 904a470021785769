"""A service with operators who are logged in to its console."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from shared import accounts
from shared.models import TokenKind
from shared.settings import Settings
from tests.console.browsing import Browsing
from tests.service import Service, running_service


@dataclass(frozen=True, slots=True)
class Staff:
    """The service, and the tokens of those who look after it."""

    service: Service
    admin: str
    viewer: str

    def stranger(self) -> Browsing:
        """A browser that nobody has logged in with. Its cookies are its own."""
        return Browsing(self.service.session, self.service.url)

    async def browsing(self, token: str) -> Browsing:
        browsing = self.stranger()
        assert (await browsing.log_in(token)).status == 303
        return browsing


async def staff_of(service: Service) -> Staff:
    async with service.pool.acquire() as db:
        admin = await accounts.create_token(db, None, TokenKind.ADMIN, "night shift")
        viewer = await accounts.create_token(db, None, TokenKind.VIEWER, "the wall")
    return Staff(service, admin.secret.text, viewer.secret.text)


@pytest.fixture
async def staff(settings: Settings) -> AsyncIterator[Staff]:
    async with running_service(settings, worker=False) as service:
        yield await staff_of(service)  # its session keeps no cookies: aiohttp takes none of an address


@pytest.fixture
async def operator(staff: Staff) -> Browsing:
    """Somebody who may act."""
    return await staff.browsing(staff.admin)


@pytest.fixture
async def viewer(staff: Staff) -> Browsing:
    """Somebody who may look."""
    return await staff.browsing(staff.viewer)
