"""The nouns of `threadmill <noun> <verb>`, one module each; every module holds a typer app called `app`."""
