"""How the baseline's two processes reach Redis: one queue, jobs as JSON."""

from arq.connections import ArqRedis, RedisSettings, create_pool
from pydantic_core import from_json, to_json

QUEUE = "arq:baseline"


async def open_queue(redis_url: str) -> ArqRedis:
    return await create_pool(
        RedisSettings.from_dsn(redis_url),
        job_serializer=to_json,
        job_deserializer=from_json,
        default_queue_name=QUEUE,
    )
