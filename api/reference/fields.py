"""The schemas of a document as lists of fields: name, type, limits, whether it is required, what is within."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.reference.markup import Html, join, prose, tag

Schema = Mapping[str, Any]
_NULL: Schema = {"type": "null"}


class Fields:
    """Of one document, whose references it follows: of its requests, or of its answers."""

    def __init__(self, schemas: Mapping[str, Schema], *, of_answers: bool = False) -> None:
        self._schemas = schemas
        self._of_answers = of_answers

    def resolved(self, schema: Schema) -> Schema:
        """The same schema, with what it refers to; what stands beside the reference goes before that."""
        if "$ref" not in schema:
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**self._schemas[schema["$ref"].rpartition("/")[2]], **beside}

    def kind(self, schema: Schema) -> str:
        """`array of objects`, `string or null`, `"asc" or "desc"`."""
        schema = self.resolved(schema)
        if forms := _forms(schema):
            return " or ".join(dict.fromkeys(self.kind(form) for form in forms))
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return " or ".join(_literal(value) for value in schema["enum"])
        given = schema.get("type", "anything")
        names = [given] if isinstance(given, str) else list(given)
        return " or ".join(self._items(schema) if name == "array" else name for name in names)

    def _items(self, schema: Schema) -> str:
        if schema.get("maxItems") == 0 or "items" not in schema:
            return "array"
        kind = self.kind(schema["items"])
        return f"array of {kind}s" if kind.isalpha() else f"array of {kind}"

    def within(self, schema: Schema) -> Html:
        """The fields of what a schema holds, however deep: nothing where it has none."""
        schema = self.resolved(schema)
        if properties := schema.get("properties"):
            required = schema.get("required", ())
            return tag("ul", *(self._field(name, field, name in required) for name, field in properties.items()))
        forms = [form for form in _forms(schema) if form != _NULL]
        holding = [(form, inner) for form in forms if (inner := self.within(form))]
        if len(holding) == 1:
            return holding[0][1]
        if holding:
            return tag("ul", *(self.form(form, inner) for form, inner in holding), class_="forms")
        return self.within(schema["items"]) if isinstance(schema.get("items"), Mapping) else Html()

    def _field(self, name: str, schema: Schema, required: bool) -> Html:
        line = join(tag("code", name, class_="name"), " ", *self.traits(schema, required))
        inner = self.within(schema)
        if not inner:
            return tag("li", line)
        return tag("li", tag("details", tag("summary", line), inner))

    def traits(self, schema: Schema, required: bool) -> Iterator[Html]:
        """Type, limits and description, behind a name."""
        whole = self.resolved(schema)
        yield tag("span", self.kind(whole), class_="kind")
        if required and not self._of_answers:
            yield join(" ", tag("span", "required", class_="required"))
        if self._of_answers and not required:
            yield join(" ", tag("span", "not always there", class_="limits"))
        if limits := ", ".join(_limits(whole)):
            yield join(" ", tag("span", limits, class_="limits"))
        if says := self._says(whole):
            yield tag("p", prose(says))

    def _says(self, schema: Schema) -> str:
        """Its description; that of its one form, where it may be null otherwise."""
        forms = [form for form in _forms(schema) if form != _NULL]
        only = self.resolved(forms[0]) if len(forms) == 1 else {}
        return str(schema.get("description") or only.get("description", ""))

    def form(self, form: Schema, inner: Html) -> Html:
        """One of several, by its title."""
        whole = self.resolved(form)
        says = whole.get("description", "")
        return tag("li", tag("span", whole.get("title", "Each"), class_="form"), " ", prose(says), inner)


def _forms(schema: Schema) -> Sequence[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _limits(schema: Schema) -> Iterator[str]:
    """In words. Those of its forms, too: a field that may be null has its limits there."""
    yield from _range(schema.get("minItems"), schema.get("maxItems"), "items")
    if schema.get("uniqueItems"):
        yield "each once"
    yield from _range(schema.get("minProperties"), schema.get("maxProperties"), "pairs")
    yield from _range(schema.get("minLength"), schema.get("maxLength"), "characters")
    yield from _range(schema.get("minimum"), schema.get("maximum"), "")
    if isinstance(keys := schema.get("propertyNames"), Mapping):
        yield from (f"keys: {limit}" for limit in _limits(keys))
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        yield from (f"values: {limit}" for limit in _limits(values))
    if "default" in schema:
        yield f"default {_literal(schema['default'])}"
    yield from _form_of_text(schema)
    for form in _forms(schema):
        if "$ref" not in form:
            yield from _limits({"description": schema["description"], **form} if "description" in schema else form)


def _range(least: int | None, most: int | None, unit: str) -> Iterator[str]:
    unit = f" {unit}" if unit else ""
    if most == 0:
        yield "empty"
    elif least and most:
        yield (
            f"{least:,} to {most:,}{unit}"
            if least != most
            else f"exactly {most:,}{unit if most > 1 else unit.removesuffix('s')}"
        )
    elif most is not None:
        yield f"at most {most:,}{unit}"
    elif least is not None:
        yield f"at least {least:,}{unit if least > 1 else unit.removesuffix('s')}"


_ULID = "^[0-7]"  # how the pattern of an id begins
_NOT_BLANK = r"\S"
_FORMATS = {"date-time": "RFC 3339"}


def _form_of_text(schema: Schema) -> Iterator[str]:
    pattern, named = str(schema.get("pattern", "")), str(schema.get("format", ""))
    if pattern.startswith(_ULID):
        yield "a ULID"
    elif pattern and pattern != _NOT_BLANK and "description" not in schema:  # which says it better
        yield f"matches {pattern}"
    if named:
        yield _FORMATS.get(named, named)
