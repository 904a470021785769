"""Limits as an operator sets them, and the refusals that tell a client of them."""

from tests.service import Client, Reply, Service

SLOW = 0.001  # requests a second: none comes back while a test runs
ASYNC = {"Prefer": "respond-async"}


async def limit(service: Service, client: Client, burst: int, *, of: str = "accounts") -> None:
    """From here on so many requests, and no more."""
    id_ = client.account if of == "accounts" else client.token_id
    await service.pool.execute(f"update {of} set rate = $2, burst = $3 where id = $1", id_, SLOW, burst)  # noqa: S608 - of ours


def is_refused(reply: Reply, name: str = "account", burst: int = 1) -> bool:
    """Whether it is a 429 with all of its header fields."""
    if reply.status != 429:
        return False
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["ratelimit-policy"] == f'"{name}";q={burst};w={burst * 1000}'
    assert reply.headers["ratelimit"] == f'"{name}";r=0;t={reply.headers["retry-after"]}'
    return True
