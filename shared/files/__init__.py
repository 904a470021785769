"""Files of threads: their rows, and the storages that keep their bytes."""
