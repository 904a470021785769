"""Requests as a document describes them, for Hypothesis: what a schema allows, and the same with one thing wrong."""

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
Strategy = st.SearchStrategy[Any]

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), _TEXT
)
ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=6
)
_MOST = 4  # items and pairs: many more say nothing new


def values(schema: Schema, schemas: Mapping[str, Schema]) -> Strategy:
    """Of one schema of a document, whose `schemas` it may refer to. What `allOf` forbids is not looked at."""
    if "$ref" in schema:
        return values(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if forms := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return st.one_of([values(form, schemas) for form in forms])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", [])
    given = [_of_kind(kind, schema, schemas) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return st.one_of(given) if given else ANYTHING


def _of_kind(kind: str, schema: Schema, schemas: Mapping[str, Schema]) -> Strategy:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 2**53))
        case "string":
            return _text(schema)
        case "array":
            most = min(schema.get("maxItems", _MOST), _MOST)
            return st.lists(values(schema.get("items", {}), schemas), min_size=schema.get("minItems", 0), max_size=most)
        case _:
            return _object(schema, schemas)


def _text(schema: Schema) -> Strategy:
    least, most = schema.get("minLength", 0), min(schema.get("maxLength", 30), 30)
    if "pattern" in schema:
        spelt: st.SearchStrategy[str] = st.from_regex(re.compile(schema["pattern"]))
        longest = schema.get("maxLength", 300)
        return spelt.filter(lambda text: least <= len(text) <= longest and not text.endswith("\n"))
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=least, max_size=most)


def _object(schema: Schema, schemas: Mapping[str, Schema]) -> Strategy:
    if "properties" not in schema:
        pairs = schema.get("additionalProperties", {})
        inner = values(pairs, schemas) if isinstance(pairs, Mapping) and pairs else _SCALARS
        return st.dictionaries(_TEXT, inner, max_size=_MOST)
    fields = {name: values(field, schemas) for name, field in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


@st.composite
def bent(draw: st.DrawFn, whole: Any) -> Any:
    """The same value with one place of it replaced by anything, or without it."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(whole)))
        rest = {name: value for name, value in whole.items() if name != key}
        return rest if draw(st.integers(0, 4)) == 0 else rest | {key: draw(bent(whole[key]))}
    if isinstance(whole, list) and whole and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(whole) - 1))
        return [*whole[:place], draw(bent(whole[place])), *whole[place + 1 :]]
    return draw(ANYTHING)
