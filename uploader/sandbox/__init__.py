"""A local stand-in for the API, with books of its own. Imports nothing of the rest but errors."""
