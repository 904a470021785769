"""Requests that schemathesis makes of the three documents, sent to a running service: see `__main__`."""
