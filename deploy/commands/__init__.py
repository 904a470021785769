"""The nouns and verbs of `threadmill`: a module each, which holds a typer app called `app`, and parts of some."""
