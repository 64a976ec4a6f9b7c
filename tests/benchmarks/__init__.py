"""Measurements of the program as a whole: `python -m tests.benchmarks [NAME…]`, from the project's root."""
