"""Redis and sentinels behind TLS, with an authority of one's own: Debian's server, because the wheel's speaks none."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from arq.connections import create_pool
from redis.exceptions import ConnectionError as Unreachable

from deploy import ports
from shared.queue import AWAY, open_arq, open_redis
from shared.redis_urls import Address, arq_settings
from shared.sentinel import NoMasterError
from tests.failover.certificates import OPENSSL, make_certificate
from tests.faults.waiting import until
from tests.sentinel_server import NAME, sentinel

REDIS = shutil.which("redis-server", path="/usr/bin")
pytestmark = pytest.mark.skipif(not (REDIS and OPENSSL), reason="Debian's redis-server or openssl is missing")


@pytest.fixture
async def authority(tmp_path: Path) -> Path:
    return await make_certificate(tmp_path)


@pytest.fixture
async def place(authority: Path) -> AsyncIterator[Address]:
    """A Redis with TLS and nothing else."""
    port, key = ports.pick(), authority.with_name("key.pem")
    files = ("--tls-cert-file", str(authority), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority))
    words = ("--port", "0", "--tls-port", str(port), *files, "--tls-auth-clients", "no", "--save", "")
    process = await asyncio.create_subprocess_exec(
        *(str(REDIS), "--bind", "127.0.0.1", *words), cwd=authority.parent, stdout=asyncio.subprocess.DEVNULL
    )
    client = open_redis(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}", 1)

    async def answers() -> bool:
        try:
            return bool(await client.ping())
        except AWAY:
            return False

    try:
        await until("Redis answers", answers)
        yield "127.0.0.1", port
    finally:
        await client.aclose()
        process.terminate()
        await process.wait()


async def test_arqs_own_client_trusts_the_authority_that_the_url_names(place: Address, authority: Path) -> None:
    url = f"rediss://127.0.0.1:{place[1]}/0"
    trusting = replace(arq_settings(f"{url}?ssl_ca_certs={authority}&ssl_check_hostname=yes"), conn_retries=0)
    pool = await create_pool(trusting)
    assert await pool.ping()
    await pool.aclose()
    with pytest.raises(Unreachable, match="certificate"):
        await create_pool(replace(arq_settings(url), conn_retries=0))


async def test_sentinels_and_the_master_are_reached_with_the_same_authority(place: Address, authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("key.pem"))
    async with sentinel(place, context) as one:
        url = f"rediss+sentinel://127.0.0.1:{one.port}/{NAME}/0"
        client = open_redis(f"{url}?ssl_ca_certs={authority}&ssl_check_hostname=yes", 2)
        assert await client.ping()
        await client.aclose()
        arq = open_arq(f"{url}?ssl_ca_certs={authority}", "arq:queue")
        assert await arq.ping()
        await arq.aclose()
        doubting = open_redis(url, 2)
        with pytest.raises(NoMasterError, match="certificate"):
            await doubting.ping()
        await doubting.aclose()
