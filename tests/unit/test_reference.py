"""The reference page: every operation with all that its document says, links that lead somewhere, and no script."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

import api.reference
from api.dialects import openapi, shell
from api.dialects.operations import Dialect, Operation
from api.reference.fields import Fields
from api.reference.files import DIALECTS, documents, reference
from api.reference.markup import Html, prose, tag

VOID = {"link", "meta", "wbr"}
ALL = [(dialect, operation) for dialect in DIALECTS.values() for operation in dialect.operations]


class Read(HTMLParser):
    """What a browser makes of it; raises where an element is not closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names = Counter[str]()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def page() -> Read:
    return Read(reference().decode())


def test_every_element_is_closed_and_every_anchor_is_there_once(page: Read) -> None:
    assert page.open == []
    anchors = Counter(page.of("id"))
    assert set(anchors.values()) == {1}


def test_every_link_leads_into_the_page_or_to_a_file_that_is_served(page: Read) -> None:
    anchors, served = set(page.of("id")), documents()
    links = page.of("href")
    assert set(served) - {"/docs"} <= set(links)
    assert "#mosoo-webhook" in links
    for link in links:
        assert link in served or (link.startswith("#") and link[1:] in anchors), link


def test_the_page_runs_nothing_and_fetches_nothing_but_its_style(page: Read) -> None:
    assert {"script", "style", "img", "iframe", "form", "object"} & set(page.names) == set()
    assert page.names["link"] == 1
    assert [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "src")] == []


@pytest.mark.parametrize(
    ("dialect", "operation"), ALL, ids=[f"{dialect.name} {one.method} {one.path}" for dialect, one in ALL]
)
def test_an_operation_has_its_section_its_link_and_its_example(
    page: Read, dialect: Dialect, operation: Operation
) -> None:
    anchor = f"{dialect.name}-{openapi.operation_id(operation).replace('_', '-')}"
    assert anchor in page.of("id")
    assert page.of("href").count(f"#{anchor}") == 2  # the contents, and itself
    assert shell.curl(dialect, operation) in page.text
    assert operation.summary in page.text


def test_all_that_the_documents_describe_is_on_the_page(page: Read) -> None:
    said = set(page.text)
    for dialect in DIALECTS.values():
        document = openapi.document(dialect)
        for name, schema in document["components"]["schemas"].items():
            for field in schema.get("properties", {}):
                assert field in said, (name, field)
        for item in document["paths"].values():
            for operation in item.values():
                assert {entry["name"] for entry in operation["parameters"] if "name" in entry} <= said
                for answer in operation["responses"].values():
                    events = answer.get("content", {}).get("text/event-stream", {}).get("schema", {}).get("oneOf", [])
                    assert {event["title"] for event in events} <= said


@pytest.mark.parametrize(
    ("schema", "kind", "limits"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 255}, "string", "1 to 255 characters"),
        ({"type": "string", "maxLength": 16}, "string", "at most 16 characters"),
        ({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "integer", "1 to 100, default 20"),
        ({"type": "array", "items": {"type": "object"}, "minItems": 1}, "array of objects", "at least 1 item"),
        ({"type": "array", "maxItems": 0}, "array", "empty"),
        ({"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]}, "string or null", "at most 9 characters"),
        ({"enum": ["asc", "desc"], "type": "string"}, '"asc" or "desc"', ""),
        ({"const": True}, "true", ""),
        ({"$ref": "#/components/schemas/Pairs"}, "object", "at most 16 pairs, values: at most 512 characters"),
        ({"type": "string", "format": "date-time"}, "string", "RFC 3339"),
        ({"type": "string", "pattern": "^x$"}, "string", "matches ^x$"),
        ({"type": "string", "pattern": "^[0-7]…"}, "string", "a ULID"),
        ({}, "anything", ""),
    ],
)
def test_types_and_limits_are_told_in_words(schema: dict[str, object], kind: str, limits: str) -> None:
    values = {"type": "string", "maxLength": 512}
    fields = Fields({"Pairs": {"type": "object", "maxProperties": 16, "additionalProperties": values}})
    shown = Read("".join(fields.traits(schema, False)))
    assert "".join(shown.text) == (f"{kind} {limits}" if limits else kind)


def test_what_is_required_is_told_of_requests_and_what_is_not_of_answers() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    asked, answered = Fields({}).within(schema), Fields({}, of_answers=True).within(schema)
    assert re.findall(r"required|not always there", re.sub(r'class="\w+"', "", asked + answered)) == [
        "required",
        "not always there",
    ]


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b> & ", Html("<i></i>"), title='"') == '<p title="&quot;">&lt;b&gt; &amp; <i></i></p>'
    assert prose("a `<b>` *c* d") == "a <code>&lt;b&gt;</code> <em>c</em> d"


def test_the_style_is_a_file_of_the_package_that_fetches_nothing() -> None:
    style = Path(api.reference.__file__).with_name("reference.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", style)
    assert style.count("{") == style.count("}")
    used = set(re.findall(r'class="([^"]+)"', reference().decode()))
    told = set(re.findall(r"\.([a-z]+)", re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)))
    assert {name for names in used for name in names.split()} - told <= {"told", "answers", "introduction"}
