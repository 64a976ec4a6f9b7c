"""What a person can ask for and do, for the command line and the page alike; one noun a module.

Knows the ledger and the pipeline's reading, nothing of terminals, requests or settings.
"""
