"""The native dialect: Mosoo v1, both published generations of it."""
