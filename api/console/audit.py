"""The audit log: who did what, to which thing, when, why, and what came of it."""

from api.console.pages import Look, Page, Values
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted

SHOWN = 50


async def load(look: Look) -> Values:
    wanted = Wanted(look.text("target") or None, look.text("actor") or None, look.text("action") or None)
    return {"wanted": wanted, "entries": await auditlog.page(look.db, SHOWN, wanted, look.after), "after": look.after}


AUDIT = Page("audit", "Audit log", load)
