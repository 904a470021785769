"""People who talk to agents in all dialects while the service is hurt, and what they must have heard in the end."""
