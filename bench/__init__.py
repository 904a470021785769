"""The bench: the service beside a tuned plain-arq baseline, in one run, on real servers: `python -m bench`."""
