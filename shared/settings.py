"""All settings, in one class: read once where a process is put together, and passed on.

Every setting is an environment variable: `DATABASE_URL`, `REDIS_URL`, else `THREADMILL_<NAME>`.
"""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import crashpoints, redis_urls, urls
from shared.db import way

_SCHEMES = {
    "database_url": ("postgresql://", "postgres://"),
    "redis_url": redis_urls.SCHEMES,
}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="THREADMILL_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str = Field(default="postgresql://localhost/threadmill", validation_alias="DATABASE_URL")
    redis_url: str = Field(default="redis://localhost:6379/0", validation_alias="REDIS_URL")
    redis_prefix: str = Field(default="", description="put before every key and channel of ours, and arq's queues")

    host: str = Field(default="127.0.0.1", description="the address that the api listens on")
    port: int = Field(default=8080, ge=0, le=65535)
    worker_host: str = Field(default="127.0.0.1", description="the address of the worker's health and metrics")
    worker_port: int = Field(default=0, ge=0, le=65535, description="0: any free port")

    body_limit: int = Field(default=1 << 20, gt=0, description="bytes of a request's body; more gets 413")
    body_timeout: float = Field(default=10.0, gt=0, description="seconds for a request's body to arrive")
    wait_default: float = Field(default=2.0, ge=0, description="seconds a POST waits for its outcome")
    wait_limit: float = Field(default=30.0, ge=0, description="the most that `Prefer: wait=N` may ask for, seconds")
    drain_timeout: float = Field(default=25.0, gt=0, description="seconds for open requests to end after SIGTERM")
    cortex_shapes: Literal["documented", "live"] = Field(
        default="documented", description="the Cortex answers as its pages have them, or as the live service gives them"
    )
    token_cache: float = Field(default=10.0, ge=0, le=30, description="seconds a token is trusted without a look-up")
    backlog_limit: int = Field(default=5_000_000, gt=0, description="waiting batches above which accepts get 503")

    token_rate: float = Field(default=0.0, ge=0, description="requests a second of one token; 0: no limit")
    token_burst: int = Field(default=0, ge=0, description="of them at once; 0: one second's worth")
    account_rate: float = Field(default=0.0, ge=0, description="the same of one account, over all its tokens")
    account_burst: int = Field(default=0, ge=0, description="of them at once; 0: one second's worth")
    account_in_flight: int = Field(
        default=0, ge=0, le=100_000, description="batches of one account that are accepted and not applied; 0: no limit"
    )
    account_concurrency: int = Field(
        default=0, ge=0, description="runs of one account that one worker executes at once; 0: no limit"
    )

    flush_limit: int = Field(
        default=48,
        gt=0,
        description="batches written by one statement; while it is written, the next ones are gathered",
    )
    drain_limit: int = Field(default=500, gt=0, description="batches applied by one transaction at most")
    sweep: bool = Field(default=True, description="off only in tests: what Redis loses then waits for ever")
    ring: bool = Field(default=True, description="off only in tests: everything is then applied by the sweep")
    on_poison: Literal["hold", "skip"] = Field(
        default="hold", description="a thread with a parked batch waits or goes on"
    )
    concurrency: int = Field(default=100, gt=0, description="runs that one worker executes at once")
    run_timeout: float = Field(default=600.0, gt=0, description="seconds a run may execute, where its agent says none")
    run_attempts: int = Field(default=3, gt=0, description="workers that may be lost with a run before it fails")
    warm_children: int = Field(
        default=2,
        ge=0,
        description="processes that a worker keeps ready for runs with `isolation: process`, once it had one",
    )
    private_endpoints: bool = Field(
        default=False, description="let agents' endpoints and webhooks be addresses of private networks"
    )
    retention_hours: float = Field(default=24.0, ge=24, description="how long applied batches and their keys are kept")

    files: str = Field(
        default=".data/files",
        min_length=1,
        description="where the bytes of files are: a directory that all apis and workers see, or `s3://bucket/prefix`",
    )
    file_limit: int = Field(
        default=64 << 20, gt=0, le=1 << 40, description="bytes of one file; an upload of more gets 413"
    )
    file_quota: int = Field(
        default=0, ge=0, lt=1 << 62, description="bytes of all files of one account; more gets 413; 0: no limit"
    )
    file_rate: int = Field(
        default=64 << 20, gt=0, description="bytes a second that one process moves of files, all of them together"
    )
    file_draft_hours: float = Field(default=24.0, gt=0, description="how long a file that nothing attached is kept")

    alarm_age: float = Field(
        default=30.0,
        gt=0,
        description="seconds that a batch or a run may wait before `threadmill doctor` calls it late",
    )
    alarm_request_hours: float = Field(
        default=24.0, gt=0, description="hours that a permission request may wait before `threadmill doctor` names it"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto: text in a terminal, else JSON"
    )
    testing: str = Field(default="", description="faults to build in, by name; refused unless THREADMILL_ENV=test")
    env: Literal["production", "test"] = "production"

    @field_validator("database_url", "redis_url")
    @classmethod
    def _check_scheme(cls, url: str, info: ValidationInfo) -> str:
        """A URL of another kind would only look like a server that is away."""
        schemes = _SCHEMES[info.field_name or ""]
        if not url.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        try:
            if info.field_name == "redis_url":
                redis_urls.check_redis(url)
            else:
                urls.check(url)
                way.check(url)
        except ValueError as error:
            raise ValueError(f"is no address: {error}") from None
        return url

    @field_validator("files")
    @classmethod
    def _check_place(cls, place: str) -> str:
        """Another scheme would only become an odd directory."""
        if "://" in place and not (place.startswith("s3://") and urlsplit(place).netloc):
            raise ValueError("must be a directory, or s3://bucket/prefix")
        return place

    @model_validator(mode="after")
    def _refuse_faults(self) -> Self:
        """No production process is broken on purpose, and no test arms a fault that does not exist."""
        if self.testing and self.env != "test":
            raise ValueError("THREADMILL_TESTING builds faults in: it is refused unless THREADMILL_ENV=test")
        crashpoints.parse(self.testing)
        return self
