"""What stands beside a recording, read into fields. Knows no media."""
