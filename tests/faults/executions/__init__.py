"""Runs that are executed while workers are killed and users interrupt: programs that count what becomes of them."""
