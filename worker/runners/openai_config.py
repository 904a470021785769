"""What an agent of the runner `openai` may be told: closed models, so that a word of somebody else's is refused.

Refused here: keys. A configuration is stored in clear and shown; it names the variable that holds the key.
"""

import re
from typing import Annotated, Any

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from worker import outbound
from worker.runners.functions import FunctionName

OPENAI = "https://api.openai.com/v1"

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_OWN_VARIABLES = re.compile(r"DATABASE_URL|REDIS_URL|(?:THREADMILL|PG)[A-Z0-9_]*")
# What the runner itself says in a request.
_OWN_PARAMETERS = {"model", "messages", "stream", "stream_options", "tools", "n", "temperature", "max_tokens"}


def _check_variable(name: str) -> str:
    """A name has words and few digits; a key has not. What is refused is never repeated: it may be one."""
    digits = sum(letter.isdigit() for letter in name)
    if not _VARIABLE.fullmatch(name) or digits > 4 or max(map(len, name.split("_"))) > 16:
        raise ValueError("must be the name of an environment variable (A-Z, 0-9, _), never a key itself")
    if _OWN_VARIABLES.fullmatch(name):
        raise ValueError("must not name a variable that the service itself is run with")
    return name


def _check_base_url(url: str) -> str:
    outbound.check_url(url)
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError("is no URL") from error
    if parsed.query or parsed.fragment:
        raise ValueError("must end with its path: no ? and no #")
    return url


def _check_schema(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
        raise ValueError('must be a JSON schema with type "object"')
    if "key" in schema.get("properties", {}):
        raise ValueError("must not have a property `key`: functions get their idempotency key under this name")
    return schema


def _check_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    if own := sorted(_OWN_PARAMETERS & parameters.keys()):
        raise ValueError(f"must not have {own[0]}, which the runner sets")
    return parameters


class ToolConfig(BaseModel):
    """A function on the worker that the model may call."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str = Field(default="", max_length=4_096)
    parameters: Annotated[dict[str, Any], AfterValidator(_check_schema)] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    function: FunctionName
    ask: bool = False
    expires_in: float | None = Field(default=None, gt=0, le=1e9, description="seconds that a question waits")
    timeout: float = Field(default=60, gt=0, le=3_600, description="seconds")


def _check_names(tools: list[ToolConfig]) -> list[ToolConfig]:
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two with the name {name}")
    return tools


class OpenAIConfig(BaseModel):
    """Each field stands in docs/runners-openai.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    base_url: Annotated[str, AfterValidator(_check_base_url)] = OPENAI
    model: str = Field(min_length=1, max_length=255)
    system: str = Field(default="", max_length=100_000)
    api_key_env: Annotated[str, AfterValidator(_check_variable)] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    parameters: Annotated[dict[str, Any], AfterValidator(_check_parameters)] = Field(default_factory=dict)
    history: int = Field(default=20, ge=0, le=1_000)
    images: bool = True
    image_limit: int = Field(default=4 << 20, ge=0, le=20 << 20, description="bytes of one image")
    text_limit: int = Field(default=256 << 10, ge=0, le=1 << 20, description="bytes of one text file")
    files_limit: int = Field(default=8 << 20, ge=0, le=32 << 20, description="bytes of all files of one request")
    timeout: float = Field(default=60, gt=0, le=600, description="seconds")
    retries: int = Field(default=2, ge=0, le=5)
    tools: Annotated[list[ToolConfig], AfterValidator(_check_names)] = Field(default_factory=list, max_length=128)
    max_turns: int = Field(default=10, ge=1, le=100)
