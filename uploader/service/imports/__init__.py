"""Importing an archive: what is there, what it will take, what became of it."""
