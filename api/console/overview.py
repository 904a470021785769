"""The first page."""

from api.console.pages import Look, Page, Values
from shared.inspect.queue import read_stored


async def load(look: Look) -> Values:
    return {"waiting": await read_stored(look.db)}


OVERVIEW = Page("overview", "Overview", load)
