"""OpenAPI 3.1 as closed models: as much of it as our documents use, and nothing beyond.

Source: https://spec.openapis.org/oas/v3.1.1 and JSON Schema 2020-12, which it takes its schemas from.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

Kind = Literal["string", "integer", "number", "boolean", "object", "array", "null"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
Status = Annotated[str, Field(pattern=r"^([1-5](\d\d|XX)|default)$")]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Discriminator(Closed):
    property_name: str
    mapping: dict[str, str] = {}


class Schema(Closed):
    ref: str | None = Field(default=None, alias="$ref", pattern="^#/components/schemas/")
    title: str = ""
    description: str = ""
    type: Kind | list[Kind] | None = None
    enum: Annotated[list[Any], Field(min_length=1)] | None = None
    const: Any = None
    pattern: str | None = None
    format: Literal["date-time"] | None = None
    content_media_type: Literal["application/octet-stream", "application/json"] | None = None
    content_schema: "Schema | None" = None
    min_length: int = 0
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    items: "Schema | None" = None
    min_items: int = 0
    max_items: int | None = None
    unique_items: bool = False
    properties: "dict[str, Schema]" = {}
    required: Annotated[list[str], Field(min_length=1)] | None = None
    additional_properties: "bool | Schema" = True
    property_names: "Schema | None" = None
    min_properties: int = 0
    max_properties: int | None = None
    any_of: "Annotated[list[Schema], Field(min_length=1)] | None" = None
    one_of: "Annotated[list[Schema], Field(min_length=1)] | None" = None
    all_of: "Annotated[list[Schema], Field(min_length=1)] | None" = None
    not_: "Schema | None" = Field(default=None, alias="not")
    discriminator: Discriminator | None = None
    default: Any = None
    examples: list[Any] = []


class Reference(Closed):
    ref: str = Field(alias="$ref", pattern="^#/components/(parameters|headers|responses)/")


class Parameter(Closed):
    name: str
    in_: Literal["path", "query", "header"] = Field(alias="in")
    required: bool = False
    description: str = ""
    schema_: Schema = Field(alias="schema")


class Header(Closed):
    description: str
    schema_: Schema = Field(alias="schema")


class Media(Closed):
    schema_: Schema = Field(alias="schema")


class Body(Closed):
    required: bool
    content: Annotated[dict[Literal["application/json", "multipart/form-data"], Media], Field(min_length=1)]


class Response(Closed):
    description: Annotated[str, Field(min_length=1)]
    headers: dict[str, Reference] = {}
    content: dict[Literal["application/json", "text/event-stream", "*/*"], Media] = {}


class Sample(Closed):
    lang: Literal["Shell"]
    source: str


class Operation(Closed):
    summary: Annotated[str, Field(min_length=1)]
    description: str = ""
    operation_id: Name
    tags: list[str] = []
    parameters: list[Reference | Parameter]
    request_body: Body | None = None
    responses: Annotated[dict[Status, Reference | Response], Field(min_length=1)]
    security: list[dict[str, list[str]]] | None = None
    samples: list[Sample] = Field(default=[], alias="x-codeSamples")


Path = dict[Literal["get", "post", "patch", "delete"], Operation]


class Bearer(Closed):
    type: Literal["http"]
    scheme: Literal["bearer"]
    description: str


class ApiKey(Closed):
    type: Literal["apiKey"]
    in_: Literal["header"] = Field(alias="in")
    name: str
    description: str


class Components(Closed):
    security_schemes: dict[Name, Bearer | ApiKey]
    parameters: dict[Name, Parameter]
    headers: dict[Name, Header]
    responses: dict[Name, Response]
    schemas: dict[Name, Schema]


class Info(Closed):
    title: str
    version: str
    description: str


class Server(Closed):
    url: str


class Tag(Closed):
    name: str


class Document(Closed):
    openapi: Literal["3.1.0"]
    info: Info
    servers: list[Server]
    security: list[dict[str, list[str]]]
    tags: list[Tag]
    paths: dict[Annotated[str, Field(pattern="^/")], Path]
    components: Components
    webhooks: dict[str, Path] = {}


DOCUMENT = TypeAdapter(Document)
