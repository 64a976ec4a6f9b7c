"""The configuration: its shape, its places, its mistakes. Everything else gets plain values."""
