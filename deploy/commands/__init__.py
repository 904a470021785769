"""The nouns and verbs of `threadmill`, one module each, which holds a typer app called `app`."""
