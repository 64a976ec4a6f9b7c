"""What the program decides, as pure functions and values: no I/O, clock, logging or threads."""
