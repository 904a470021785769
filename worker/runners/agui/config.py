"""What an agent of the runner `agui` is configured with: a closed model, no secret in it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from worker import outbound
from worker.runners.registry import ConfigError, explain

# What the call itself says, and what carries secrets.
_OWN = {
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
}
_SECRET = {"authorization", "cookie", "proxy-authorization"}
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110, token
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,998}[\x21-\x7e])?")


def _check_url(url: str) -> str:
    try:
        httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"is no URL: {error}") from error
    return outbound.check_url(url)


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _SECRET:
            raise ValueError(f"{name} may hold a secret: put a token in an environment variable and name it: token_env")
        if name.lower() in _OWN:
            raise ValueError(f"{name} is set by the runner")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} must be 1 to 1000 printable ASCII characters, no space around them")
    return headers


class ContextItem(BaseModel):
    """A piece of information that every run gets, beside the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(min_length=1, max_length=1_000)
    value: str = Field(max_length=100_000)


class AguiConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_check_url)] = Field(
        description="where RunAgentInput is POSTed; http:// or https://, no redirects"
    )
    token_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$",
        description="the name of the worker's environment variable that holds the bearer token",
    )
    headers: Annotated[dict[str, str], Field(max_length=50), AfterValidator(_check_headers)] = Field(
        default_factory=dict, description="sent with every call; nothing secret, nothing that the runner sets"
    )
    history: int = Field(default=100, ge=0, le=1_000, description="earlier messages of the thread that go along")
    timeout: float = Field(
        default=120.0, gt=0, le=3_600, description="seconds until the answer begins, and between two events"
    )
    forwarded_props: dict[str, JsonValue] = Field(
        default_factory=dict, description="handed to the endpoint as `forwardedProps`"
    )
    context: list[ContextItem] = Field(
        default_factory=list, max_length=50, description="`description` and `value` each, handed over as `context`"
    )


def check(config: Mapping[str, Any]) -> AguiConfig:
    """Raises ConfigError, which names the field."""
    try:
        return AguiConfig.model_validate(config)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
