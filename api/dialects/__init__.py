"""Translations between the public dialects and the service's own words; they translate and do nothing else."""
