"""Deleting files. Nobody can read one from then on; its bytes go with the workers' next sweep."""

from shared import audit
from shared.audit import Actor
from shared.db.connect import Database
from shared.db.statements import statements
from shared.inspect.files import FileRecord

SQL = statements("files")


async def delete(db: Database, actor: Actor, file: FileRecord) -> int:
    """Returns 0 where somebody was faster."""
    async with audit.entry(db, actor, "file.delete", f"file {file.id}", account=file.account) as entry:
        entry.touched = 0 if await db.fetchval(SQL["take_out"], file.id) is None else 1
        return entry.touched
