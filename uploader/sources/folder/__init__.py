"""A folder as a source: the scan is the truth, the watch only the bell."""
