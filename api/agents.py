"""Which agent a request means. Only a published agent is remembered: what an operator mends works at once."""

from api.lookup import Lookup
from api.postgres import Postgres
from shared import reads
from shared.errors import Forbidden, NotFound
from shared.ids import AccountId, AgentId
from shared.views import AgentView

_KEEP = 3.0  # seconds that a published agent is trusted; an unpublished one takes threads no longer than that
_LIMIT = 10_000  # agents remembered in one process


class Agents:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._lookup: Lookup[AgentId, AgentView] = Lookup(
            self._load, lambda agent: _KEEP if agent and agent.published else 0.0, _LIMIT
        )

    async def of_account(self, agent: AgentId, account: AccountId) -> AgentView:
        """The account's agent, published or not. Raises NotFound, Forbidden where it is another account's."""
        found = await self._lookup.get(agent)
        if found is None:
            raise NotFound("There is no such agent.")
        if found.account != account:
            raise Forbidden("The agent belongs to another account.")
        return found

    async def _load(self, agent: AgentId) -> AgentView | None:
        return await reads.agent(self._postgres, agent)
