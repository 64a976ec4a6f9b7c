"""Pre-flight checks of everything outside: each finds out one thing, and changes nothing that stays."""
