"""What api and worker must agree on: the pure core, the queue's keys, the database, the settings."""

__version__ = "0.1.0"
