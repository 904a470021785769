"""Runs that wait in their thread, made over HTTP."""

from tests.service import Client, message


async def queue(client: Client, *texts: str) -> tuple[str, list[str]]:
    """A thread with a queued run for each text; none of them is given to a worker."""
    thread = await client.new_thread()
    sent = (await client.send(thread, *[message(text) for text in texts])).json
    return thread, [event["run"]["id"] for event in sent["events"]]
