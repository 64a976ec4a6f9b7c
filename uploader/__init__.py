"""Brings third-party call recordings into Zoom Quality Management, each exactly once."""

__version__ = "0.1.0"
