"""The receiver that `docs/webhooks.md` shows works as it is written."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared import webhooks
from shared.reports import RunFinished
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import message
from worker.webhooks import Webhooks

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")


async def test_the_receiver_of_the_page_verifies_and_knows_a_repetition(
    driver: Driver, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - our own page
    app = web.Application()
    app.router.add_post("/", names["receive"])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = await webhooks.set_webhook(driver.pool, driver.caller.agent, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    hooks = Webhooks(settings.model_copy(update={"private_endpoints": True}))

    async def tell() -> int | None:
        await driver.pool.execute("update outbox set next_try_at = now() - interval '1 second', delivered_at = null")
        await hooks.run_once()
        await hooks.finish()
        status: int | None = await driver.pool.fetchval("select status from outbox")
        return status

    thread, run = await driver.executing(message())
    await driver.report(thread, RunFinished(run))
    names["SECRET"] = "whsec_" + "A" * 44  # somebody else's
    assert await tell() == 401
    names["SECRET"] = hook.secret
    assert [await tell(), await tell()] == [204, 204]
    assert capsys.readouterr().out.count(f"run.completed {run}") == 1
    await hooks.close()
    await runner.cleanup()
