"""What the baseline's ingress accepts: the same small batch as the service, as closed pydantic models."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from shared import ids

Text = Annotated[str, StringConstraints(min_length=1, max_length=262_144, pattern=r"\S")]
Id = Annotated[str, StringConstraints(pattern=ids.PATTERN)]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class UserMessage(Closed):
    type: Literal["user_message"]
    text: Text
    client_request_id: Annotated[str | None, Field(max_length=255)] = None


class PermissionDecision(Closed):
    type: Literal["permission_decision"]
    request_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    decision: Literal["allow_once", "reject_once"]


class UserInterrupt(Closed):
    type: Literal["user_interrupt"]
    run_id: Id | None = None


Event = Annotated[UserMessage | PermissionDecision | UserInterrupt, Field(discriminator="type")]


class Batch(Closed):
    events: Annotated[list[Event], Field(min_length=1, max_length=100)]
