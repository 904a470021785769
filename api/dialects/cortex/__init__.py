"""Snowflake's Cortex threads, under `/api/v2/cortex`: translates requests and answers, and does nothing else."""
