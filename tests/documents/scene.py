"""What a run tells the hooks, which schemathesis loads in a process of its own."""

SCENE = "THREADMILL_TESTED_SCENE"  # the variable: JSON of url, token, agents, document, seed
