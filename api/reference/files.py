"""Every file that describes the service, by its path."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic_core import to_json

from api.dialects import openapi
from api.dialects.cortex.openapi import DIALECT as CORTEX
from api.dialects.mosoo.openapi import DIALECT as MOSOO
from api.dialects.openai.openapi import DIALECT as OPENAI
from api.dialects.operations import Dialect
from api.handlers.document import PAGE, STYLE, Document
from api.reference.page import STYLESHEET, page
from shared import __version__

DIALECTS = {"/api/v1/openapi.json": MOSOO, "/api/v2/openapi.json": CORTEX, "/v1/openapi.json": OPENAI}
_STYLE = Path(__file__).with_name("reference.css")


def documents() -> Mapping[str, Document]:
    """Not made yet: each is at its first request."""
    found = {path: Document(partial(_json, dialect)) for path, dialect in DIALECTS.items()}
    return found | {"/docs": Document(reference, PAGE), STYLESHEET: Document(_STYLE.read_bytes, STYLE)}


def _json(dialect: Dialect) -> bytes:
    return to_json(openapi.document(dialect))


def reference() -> bytes:
    """The page, in UTF-8."""
    described = {dialect.name: openapi.document(dialect) for dialect in DIALECTS.values()}
    return page(described, __version__).encode()
