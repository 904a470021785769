"""When an operator was asked, as the form of the question brings it back: what came about since is not meant.

Postgres' clock, signed with the session's secret for this one address: nobody moves it, nor takes it elsewhere.
Refused here: an age; a page may stand open for as long as its session.
"""

from collections.abc import Mapping
from datetime import datetime

from api.console import guard
from api.console.visit import Visit
from shared.errors import InvalidRequest

ASKED, PROOF = "asked", "asked_proof"  # fields of the form


def stamp(visit: Visit, asked: datetime) -> Mapping[str, str]:
    """The form's fields."""
    text = asked.isoformat()
    return {ASKED: text, PROOF: guard.sign(visit.who.cookie, _what(visit, text))}


def read(visit: Visit) -> datetime:
    """When it was asked. Raises InvalidRequest where that is not of this question."""
    text, proof = visit.form.get(ASKED, ""), visit.form.get(PROOF, "")
    if not guard.signed(visit.who.cookie, _what(visit, text), proof):
        raise InvalidRequest("This form is of another question, or not whole. Nothing was done: it is asked anew.")
    return datetime.fromisoformat(text)


def _what(visit: Visit, text: str) -> str:
    return f"{ASKED} {text} {visit.address()}"
