"""Everything known about recordings, and the only SQL: schema, statements, one writer."""
