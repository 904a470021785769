"""One operation of a document as a section of the page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from api.reference.fields import Fields
from api.reference.markup import Html, join, prose, tag

Document = Mapping[str, Any]


class Section:
    """Writes the sections of one dialect; `name` begins their anchors."""

    def __init__(self, name: str, document: Document) -> None:
        self.name = name
        self._root = document["servers"][0]["url"].rstrip("/")
        self.fields = Fields(document["components"]["schemas"])
        self.answers = Fields(document["components"]["schemas"], of_answers=True)

    def anchor(self, operation: Document) -> str:
        return f"{self.name}-{operation['operationId'].replace('_', '-')}"

    def address(self, path: str) -> Html:
        """The whole path, which may break behind a slash."""
        parts = f"{self._root}{path}".split("/")
        return Html(Html("/<wbr>").join(join(part) for part in parts))

    def write(self, method: str, path: str, operation: Document) -> Html:
        anchor = self.anchor(operation)
        title = tag("h4", operation["summary"], " ", _link(anchor))
        address = tag(
            "p", tag("span", method.upper(), class_=f"method {method}"), " ", self.address(path), class_="path"
        )
        (sample,) = operation["x-codeSamples"]
        told = tag("div", *self._told(operation), class_="told")
        example = tag("div", tag("h5", "Example"), tag("pre", tag("code", sample["source"])), class_="example")
        return tag("section", title, address, tag("div", told, example, class_="sides"), id=anchor, class_="operation")

    def _told(self, operation: Document) -> Iterator[Html]:
        if says := operation.get("description"):
            yield tag("p", prose(says))
        if parameters := [given for given in operation["parameters"] if "$ref" not in given]:
            yield tag("h5", "Parameters")
            yield self.parameters(parameters)
        if body := operation.get("requestBody"):
            yield self.body(body)
        yield tag("h5", "Answers")
        yield tag("dl", *self._answers(operation["responses"]), class_="answers")

    def parameters(self, parameters: list[Any]) -> Html:
        return tag("ul", *(self._parameter(given) for given in parameters), class_="fields")

    def _parameter(self, given: Document) -> Html:
        schema = {**given["schema"], "description": given.get("description", "")}
        place = tag("span", given["in"], class_="place")
        traits = self.fields.traits(schema, given.get("required", False))
        return tag("li", tag("code", given["name"], class_="name"), " ", place, " ", *traits)

    def body(self, body: Document) -> Html:
        """The fields of a request's JSON, or of its form."""
        (media,) = body["content"].values()
        schema = self.fields.resolved(media["schema"])
        needed = "" if body["required"] else tag("span", "may be left out", class_="limits")
        says = tag("p", prose(schema["description"])) if "description" in schema else Html()
        return join(tag("h5", "Body ", needed), says, tag("div", self.fields.within(schema), class_="fields"))

    def _answers(self, responses: Document) -> Iterator[Html]:
        plain = [status for status, answer in responses.items() if "$ref" in answer]
        for status, answer in responses.items():
            if "$ref" not in answer:
                yield tag("dt", status, class_="good" if status < "300" else "bad")
                good = self._content(answer["content"]) if status < "300" else ()
                yield tag("dd", prose(answer["description"]), *good)
        if plain:
            yield tag("dt", "else", class_="bad")
            links = [tag("a", status, href=f"#{self.name}-{status}") for status in plain]
            yield tag("dd", *(join(" ", link) for link in links), class_="plain")

    def _content(self, content: Document) -> Iterator[Html]:
        for media, given in content.items():
            schema = given["schema"]
            if media == "text/event-stream":
                yield _folded("Events", tag("ul", *(self._events(*kind) for kind in _by_data(schema["oneOf"]))))
            elif media == "*/*":
                yield tag("p", "Bytes, of the file's own type.")
            elif inner := self._forms(schema) or self.answers.within(schema):
                yield _folded(f"JSON: {self._named(schema)}", inner)

    def _named(self, schema: Document) -> str:
        if "oneOf" in schema:
            return " or ".join(form["title"] for form in schema["oneOf"])
        whole = self.fields.resolved(schema)
        return str(whole.get("title", "")) or self.fields.kind(whole)

    def _forms(self, schema: Document) -> Html:
        """Each form of an answer that has several."""
        if "oneOf" not in schema:
            return Html()
        forms = [self.answers.form(form, self.answers.within(form)) for form in schema["oneOf"]]
        return tag("ul", *forms, class_="forms")

    def _events(self, data: Document, events: Sequence[Document]) -> Html:
        """Events with the same data, which are told once."""
        names = [join(tag("code", event["title"], class_="name"), " ") for event in events]
        says = [tag("p", prose(event["description"])) for event in events if "description" in event]
        line = join(*names, tag("span", self._named(data), class_="kind"), *says)
        inner = self.answers.within(data)
        return tag("li", tag("details", tag("summary", line), inner) if inner else line)


def _by_data(events: Sequence[Document]) -> Iterator[tuple[Document, Sequence[Document]]]:
    """Neighbours; one of which more is said stands alone."""
    for (data, _), found in groupby(events, lambda event: (event["properties"]["data"], event.get("description"))):
        yield data.get("contentSchema", data), list(found)


def _link(anchor: str) -> Html:
    return tag("a", "#", href=f"#{anchor}", class_="anchor", aria_label="A link to this")


def _folded(title: str, *inside: Html) -> Html:
    return tag("details", tag("summary", title), tag("div", *inside, class_="fields"))
