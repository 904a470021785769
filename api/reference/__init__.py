"""The reference page at `/docs`: the dialects' OpenAPI documents, to be read. HTML and a stylesheet, no script."""
