"""The steps of a recording: each reads a row, does one thing outside, and writes what happened."""
