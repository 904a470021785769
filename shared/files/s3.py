"""Files in a bucket of an object store that speaks S3, under `<prefix>/<id>`; needs the extra `s3`.

Address, region and credentials are AWS' own environment variables (`AWS_ENDPOINT_URL`, …). A file longer than one part
is sent in parts, and none of them counts before all are there: the store itself keeps the promise of a write.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import StorageAway
from shared.files.digest import Digesting
from shared.files.storage import PIECE
from shared.ids import FileId

log = structlog.get_logger()

PART = 5 << 20  # bytes: the least that a part may have, and what each upload under way holds in memory
_GONE = frozenset({"NoSuchKey", "NoSuchUpload", "404"})
_ABORT = 10.0  # seconds to give up an upload
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class Bucket:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._stack = AsyncExitStack()
        self._client: Any = None  # aiobotocore has no types
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def write(self, file: FileId) -> AsyncIterator["_Sink"]:
        with _told():
            client = await self._opened()
        sink = _Sink(client, self.place(file))
        try:
            yield sink
            await sink.finish()
        except BaseException:
            await asyncio.shield(sink.give_up())
            raise

    @asynccontextmanager
    async def read(self, file: FileId, start: int = 0, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        last = "" if stop is None else stop - 1
        wanted = {"Range": f"bytes={start}-{last}"} if start or stop else {}
        with _told():
            client = await self._opened()
            answer = await client.get_object(**self.place(file), **wanted)
        async with answer["Body"] as body:
            yield _pieces(body)

    async def remove(self, file: FileId) -> None:
        with _told():
            client = await self._opened()
            await client.delete_object(**self.place(file))

    async def tidy(self, age: float) -> int:
        before = datetime.now(UTC) - timedelta(seconds=age)
        removed = 0
        with _told():
            client = await self._opened()
            pages = client.get_paginator("list_multipart_uploads")
            async for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for begun in page.get("Uploads", ()):
                    if begun["Initiated"] < before:
                        await _abort(client, {"Bucket": self._bucket, "Key": begun["Key"]}, begun["UploadId"])
                        removed += 1
        return removed

    async def close(self) -> None:
        await self._stack.aclose()

    def place(self, file: FileId) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + file}

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                made = get_session().create_client("s3", config=_config())
                self._client = await self._stack.enter_async_context(made)
            return self._client


def _config() -> AioConfig:
    """Checksums only where they must be, and buckets in the path: other stores than AWS' own know no more."""
    own = any(os.environ.get(name) for name in _ENDPOINTS)
    return AioConfig(
        connect_timeout=5,
        read_timeout=30,
        retries={"max_attempts": 3, "mode": "standard"},
        max_pool_connections=64,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **({"s3": {"addressing_style": "path"}} if own else {}),
    )


class _Sink(Digesting):
    """Gathers a part at a time. What fits into one is sent whole when it ends."""

    def __init__(self, client: Any, place: dict[str, str]) -> None:
        super().__init__()
        self._client = client
        self._place = place
        self._part = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._digest.add, data)
        self._part += data
        if len(self._part) >= PART:
            await self._send()

    async def _send(self) -> None:
        """One part. A bucket takes them in their order."""
        body, self._part = bytes(self._part), bytearray()
        with _told(StorageAway):
            if self._upload is None:
                begun = await self._client.create_multipart_upload(**self._place)
                self._upload = begun["UploadId"]
            number = len(self._parts) + 1
            answer = await self._client.upload_part(**self._place, UploadId=self._upload, PartNumber=number, Body=body)
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})

    async def finish(self) -> None:
        if self._upload is None:
            with _told(StorageAway):
                await self._client.put_object(**self._place, Body=bytes(self._part))
            return
        if self._part:
            await self._send()
        with _told(StorageAway):
            await self._client.complete_multipart_upload(
                **self._place, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
            )

    async def give_up(self) -> None:
        """Where this fails, `tidy` finds what was begun."""
        if self._upload is None:
            return
        try:
            async with asyncio.timeout(_ABORT):
                with _told():
                    await _abort(self._client, self._place, self._upload)
        except (StorageAway, TimeoutError):
            log.warning("an upload to the bucket was not given up; it will be")


async def _abort(client: Any, place: dict[str, str], upload: str) -> None:
    try:
        await client.abort_multipart_upload(**place, UploadId=upload)
    except ClientError as error:
        if _code(error) not in _GONE:
            raise


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    while True:
        with _told():
            data: bytes = await body.read(PIECE)
        if not data:
            return
        yield data


@contextmanager
def _told(gone: type[Exception] = FileNotFoundError) -> Iterator[None]:
    """Raises what the client raises as StorageAway, and as `gone` where what is asked for is missing."""
    try:
        yield
    except ClientError as error:
        if _code(error) in _GONE:
            raise gone from error
        log.error("the bucket of files refuses", code=_code(error))
        raise StorageAway from error
    except (BotoCoreError, HttpError, OSError, TimeoutError) as error:
        log.error("the bucket of files is away", error=type(error).__name__)
        raise StorageAway from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
