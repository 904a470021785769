"""Those who look after a service, and their tokens."""

from dataclasses import dataclass

from shared import accounts
from shared.models import TokenKind
from tests.console.browsing import Browsing
from tests.service import Service


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
