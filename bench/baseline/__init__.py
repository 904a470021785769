"""The baseline: what a good engineer builds with aiohttp, arq and asyncpg, and stops there.

One arq job a batch, one transaction a job. It stores what the service stores (runs, messages, events, the
thread, the batch with its outcome) and is tuned: uvloop, JSON jobs, no results kept, prepared statements, what
an event writes in one round trip. What it lacks by design: a 2xx is as durable as Redis, batches of a thread may
overtake each other, nobody can wait for an outcome.
"""
