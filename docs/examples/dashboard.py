"""arq-dashboard 0.1.4 with both of Threadmill's queues, and with the arguments of its jobs.

    pip install arq-dashboard==0.1.4
    ARQ_DASHBOARD_REDIS_URL=redis://localhost:6379 uvicorn --factory dashboard:create_app

It has no variables for that: it knows one queue, and unpickles jobs unless it is told otherwise. Ours are JSON.
"""

import json

from arq_dashboard.core import settings
from arq_dashboard.main import create_app

__all__ = ["create_app"]

settings.ARQ_DESERIALIZER = json.loads
settings.ARQ_QUEUES["arq:queue:execute"] = settings.ARQ_QUEUES["arq:queue"]
