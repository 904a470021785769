"""What the baseline's ingress accepts: the same small batch as the service, as closed pydantic models."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared import ids

Text = Annotated[str, StringConstraints(min_length=1, max_length=262_144, pattern=r"\S")]
Id = Annotated[str, StringConstraints(pattern=ids.PATTERN)]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UserMessage(Closed):
    type: Literal["user_message"]
    text: Text
    clientRequestId: Annotated[str | None, Field(max_length=255)] = None  # noqa: N815 - the wire's name


class PermissionDecision(Closed):
    type: Literal["permission_decision"]
    requestId: Annotated[str, StringConstraints(min_length=1, max_length=255)]  # noqa: N815 - the wire's name
    decision: Literal["allow_once", "reject_once"]


class UserInterrupt(Closed):
    type: Literal["user_interrupt"]
    runId: Id | None = None  # noqa: N815 - the wire's name


Event = Annotated[UserMessage | PermissionDecision | UserInterrupt, Field(discriminator="type")]


class Batch(Closed):
    events: Annotated[list[Event], Field(min_length=1, max_length=100)]
