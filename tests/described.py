"""Holds an answer against what its dialect's table says: status, fields (none missing, none unknown), events."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.dialects import openapi
from api.dialects.operations import Answer, Dialect, Model, Operation


def check(dialect: Dialect, operation: Operation, status: int, media: str, body: str) -> None:
    """Raises AssertionError, with what differs."""
    where = f"{dialect.name}: {operation.method} {operation.path}: {status} {body[:1000]}"
    answers = [answer for answer in operation.answers if answer.status == str(status)]
    if not answers:
        assert str(status) in openapi.refusals(dialect, operation), where
        assert media == "application/json", where
        _check_json([dialect.error], body, where)
    elif answers[0].bytes:
        return
    elif not (answers[0].forms() or answers[0].events):
        assert not body, where
    elif media == "text/event-stream":
        assert check_events(answers[0], body, where), where
    else:
        assert media == "application/json", where
        _check_json(answers[0].forms(), body, where)


def check_events(answer: Answer, body: str, where: str = "") -> list[str]:
    """The names of the stream's events, each of which is as it is described. The last one may be cut off."""
    models = {event.name: event.model for event in answer.events}
    heard = []
    for block in body.replace("\r\n", "\n").split("\n\n")[:-1]:
        fields = dict(re.findall(r"^(event|data): (.*)$", block, re.MULTILINE))
        if fields:
            assert fields["event"] in models, (fields, where)
            data = fields["data"] if fields["data"] != "[DONE]" else json.dumps(fields["data"])
            _check_json([models[fields["event"]]], data, where)
            heard.append(fields["event"])
    return heard


def _check_json(forms: Sequence[Model], body: str, where: str) -> None:
    reasons: list[Any] = []
    for form in forms:
        try:
            TypeAdapter(form).validate_json(body, strict=True)
        except ValidationError as error:
            reasons.append(error.errors(include_url=False, include_input=False))
        else:
            return
    raise AssertionError(f"{where}\n{reasons}")
