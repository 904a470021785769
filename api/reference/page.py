"""The whole page: what is common, then each dialect with its operations, and the way to all of them at the side."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.reference.markup import Html, join, prose, tag
from api.reference.operation import Document, Section

STYLESHEET = "/docs/reference.css"
_BEFORE = """\
dev() { python3 -c "import json; dev = json.load(open('.data/dev.json')); print($1)"; }
URL=$(dev "dev['url']") TOKEN=$(dev "dev['token']") AGENT=$(dev "dev['agents']['echo']")"""
_METHODS = frozenset({"get", "post", "patch", "delete"})


def page(documents: Mapping[str, Document], version: str) -> str:
    """HTML of the documents, each by the name of its dialect."""
    sections = [(Section(name, document), document) for name, document in documents.items()]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "Threadmill: reference"),
        tag("link", rel="stylesheet", href=STYLESHEET),
    )
    main = tag("main", _introduction(documents), *(_dialect(*section) for section in sections), id="top")
    body = tag("body", _bar(version), tag("div", _contents(sections), main, class_="page"))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _bar(version: str) -> Html:
    contents = tag("a", "Contents", href="#contents", class_="open")
    return tag("header", tag("a", "Threadmill", href="#top", class_="brand"), tag("span", version), contents)


def _contents(sections: list[tuple[Section, Document]]) -> Html:
    close = tag("a", "Close", href="#top", class_="close")
    parts = [part for section, document in sections for part in _listed(section, document)]
    return tag("nav", close, *parts, id="contents", aria_label="Contents")


def _listed(section: Section, document: Document) -> Iterator[Html]:
    yield tag("h2", tag("a", _short(document), href=f"#{section.name}"))
    for group, operations in _groups(document).items():
        yield tag("h3", group)
        entries = [_entry(method, each["summary"], section.anchor(each)) for method, _, each in operations]
        yield tag("ul", *entries)
    for hook in document.get("webhooks", {}).values():
        yield tag("h3", "Webhooks")
        yield tag("ul", _entry("post", hook["post"]["summary"], f"{section.name}-webhook"))


def _entry(method: str, summary: str, anchor: str) -> Html:
    word = tag("span", method.upper(), class_=f"method {method}")
    return tag("li", tag("a", word, tag("span", summary), href=f"#{anchor}"))


def _introduction(documents: Mapping[str, Document]) -> Html:
    entries = [
        tag(
            "li",
            tag("a", _short(document), href=f"#{name}"),
            ", as OpenAPI: ",
            tag("a", tag("code", _own_path(document)), href=_own_path(document)),
        )
        for name, document in documents.items()
    ]
    return tag(
        "section",
        tag("h1", "Threadmill: the HTTP interface"),
        tag("p", "Three dialects over the same threads, messages and runs: what is made in one is read in the others."),
        tag("ul", *entries),
        tag("p", prose("JSON in, JSON out, UTF-8. Every request carries `Authorization: Bearer <token>`.")),
        tag("h2", "To paste the examples"),
        tag(
            "p",
            prose(
                "With `make dev` at work, in another terminal in the same directory. `THREAD`, `RUN`, `MESSAGE` and "
                "`CALL` are ids from answers: set them as you go. Another service has another `URL` and `TOKEN`."
            ),
        ),
        tag("pre", tag("code", _BEFORE)),
        class_="introduction",
    )


def _dialect(section: Section, document: Document) -> Html:
    parts = [
        join(tag("h3", group), *(section.write(*operation) for operation in operations))
        for group, operations in _groups(document).items()
    ]
    hooks = [_webhook(section, hook["post"]) for hook in document.get("webhooks", {}).values()]
    title = tag(
        "h2",
        _short(document),
        " ",
        tag("a", "#", href=f"#{section.name}", class_="anchor", aria_label="A link to this"),
    )
    common = [tag("p", prose(document["info"]["description"])), *_common(section, document)]
    return tag("section", title, *common, *parts, *hooks, id=section.name, class_="dialect")


def _common(section: Section, document: Document) -> Iterator[Html]:
    """What holds for every operation of a dialect: its document, tokens, headers, errors."""
    components = document["components"]
    path = _own_path(document)
    yield tag("p", "As OpenAPI: ", tag("a", tag("code", path), href=path))
    yield tag("h5", "Token")
    schemes = components["securitySchemes"].values()
    yield tag("ul", *(tag("li", prose(scheme["description"])) for scheme in schemes))
    yield tag("h5", "Headers of every request")
    yield section.parameters(list(components["parameters"].values()))
    yield tag("h5", "Headers of answers")
    headers = [
        tag("li", tag("code", name, class_="name"), " ", prose(header["description"]))
        for name, header in components["headers"].items()
    ]
    yield tag("ul", *headers, class_="fields")
    yield tag("h5", "Errors")
    yield tag("dl", *(part for found in components["responses"].items() for part in _refusal(section, *found)))
    yield tag("div", section.answers.within(components["schemas"]["Error"]), class_="fields")


def _refusal(section: Section, status: str, answer: Document) -> Iterator[Html]:
    yield tag("dt", status, id=f"{section.name}-{status}", class_="bad")
    yield tag("dd", prose(answer["description"]))


def _webhook(section: Section, hook: Document) -> Html:
    parts = [
        tag("h4", hook["summary"]),
        tag("p", prose(hook["description"])),
        tag("h5", "Headers"),
        section.parameters(hook["parameters"]),
        section.body(hook["requestBody"]),
    ]
    return join(tag("h3", "Webhooks"), tag("section", *parts, class_="operation", id=f"{section.name}-webhook"))


def _groups(document: Document) -> dict[str, list[tuple[str, str, Any]]]:
    """The operations of each tag, in the order of the document."""
    found: dict[str, list[tuple[str, str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in item:
            if method in _METHODS:
                found[item[method]["tags"][0]].append((method, path, item[method]))
    return found


def _short(document: Document) -> str:
    return str(document["info"]["title"]).removeprefix("Threadmill, ")


def _own_path(document: Document) -> str:
    """Where the document itself is served."""
    (path,) = (path for path in document["paths"] if path.endswith("/openapi.json"))
    return f"{document['servers'][0]['url'].rstrip('/')}{path}"
