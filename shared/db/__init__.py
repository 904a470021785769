"""Postgres: connections, statements by name, migrations. Domain code asks for statements by `sql.<noun>`."""
