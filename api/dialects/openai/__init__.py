"""Thread messages of AIML and OpenAI, bare and under `/v1`: translates requests and answers, and does nothing else."""
