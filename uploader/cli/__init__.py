"""The command line: one module a command. Acts through the service; knows no SQL and no HTTP."""
