"""The operator's console, under `/console`: server-rendered pages over `shared.inspect`.

**A page** is a name, a title, and a function that reads what it shows; its template has its name:

    # api/console/queue.py
    async def load(look: Look) -> Values:
        return {"depths": await read_depths(look.db), "wanted": look.text("partition")}

    QUEUE = Page("queue", "Queue", load)

    # api/routes.py, in console_routes
    web.get("/console/queue", console.page(QUEUE)),

    {# templates/queue.html #}
    {% extends "base.html" %}
    {% block above %}…what stays: a filter form (GET), an explanation…{% endblock %}

    {# templates/queue.live.html: the live part #}
    {% from "macros.html" import table, pager, age, badge, id_link, act %}
    {% call table("Partitions", ["partition", "waiting", "oldest"]) %}…rows…{% endcall %}

- `load` gets a `Look`: `db` (one connection, bounded: no `gather` over it), `redis`, `settings`, `params` (path and
  query), `text(name)`, `whole(name)`, `after`, `all(name)`, `may_act`. It raises errors of `shared.errors`: the console
  makes pages of them. A value `title` takes the place of the page's.
- **The live part** (`<name>.live.html`) is rendered with the page, and again, at most once a second, for as long as
  somebody watches: once in a process for all who watch the same address. So it knows no session: no form that posts, no
  CSRF token; what it lets an operator do are links (`act`) to pages that ask. It has what `load` gave, `may_act`, and
  `address(after=...)`: this page's address with other parameters. A page of `live=False` has `<name>.html` alone, with
  a block `content`; every other one may do without `<name>.html`.
- The browser changes only what differs (`static/morph.js`), so the focus stays. Siblings are told apart by their id,
  address or label, a row by its first link, a section by its heading; what has none of these by its place. So what
  moves in a list, or has an address that changes, gets an id.
- It holds the part as it is while somebody has ticked a box, selects text, types, presses a button or has opened a
  `<details>`.
- Whatever is shown is text: autoescape is on, and `|safe` is refused by a test. No inline script, no `style=`: the CSP
  forbids both. A chart is an `<svg>` with attributes and classes.

**An action** is a `Deed`: what is asked before, and what is done then.

    async def ask(look: Look) -> Question:
        token = await find_token(look.db, look.params["id"])
        says = ("Processes refuse it within 30 seconds.",)
        return Question("Revoke this token?", says, touches="1 token", button="Revoke", back="/console/tokens")

    async def do(look: Look, form: Form, actor: Actor) -> Done:
        await actions.tokens.revoke(look.db, actor, TokenId(look.params["id"]))
        return Done("The token was revoked.", "/console/tokens")

    REVOKE = Deed(ask, do)

    # api/routes.py
    *console.deed("/console/tokens/{id}/revoke", REVOKE),

    {# a button in a template, disabled with its reason for viewers #}
    {{ act("/console/tokens/" ~ token.id ~ "/revoke", "Revoke", may_act) }}

GET asks: it says what will be touched and how many, counted there and then. POST does it, once: it carries the
session's CSRF token and an id of its own, and the same POST again shows what the first one did. The query
(`?id=4711&id=4712`) is the same for both, and so is `look.asked`, Postgres' clock when it was asked: a deed that does
"all that match" leaves what came about since. Further inputs are `fields` of the question, and stand in `form`.
`Deed(ask, do, apart=True)` goes the way of clients' events and may wait there: its `do` has no `db`, and keeps no other
deed out. `InvalidRequest` from `do` shows the question again with the reason; other errors are pages; a
viewer's POST is 403.

Tests of pages: `tests/console/conftest.py` (a service, `operator`, `viewer`; a browser for the mark `browser`).
"""
